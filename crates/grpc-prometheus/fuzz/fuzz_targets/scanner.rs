//! For any chunking of a body, the scanner finds the same messages as a plain decoder, and one
//! status.
#![no_main]

#[path = "../../src/recording"]
mod recording {
    #[expect(dead_code, reason = "half of a module of the library")]
    pub(crate) mod code;
    #[expect(dead_code, reason = "the target needs no checks of a whole response")]
    pub(crate) mod frames;
    #[expect(dead_code, reason = "half of a module of the library")]
    pub(crate) mod headers;
}

use libfuzzer_sys::fuzz_target;
use recording::frames::Scanner;

const TRAILERS: u8 = 0x80;

/// The lengths of the messages of grpc-web, and the status of a trailers frame.
fn scan<'a>(chunks: impl IntoIterator<Item = &'a [u8]>) -> (Vec<u32>, Option<usize>) {
    let mut scanner = Scanner::default();
    let mut messages = Vec::new();
    for chunk in chunks {
        scanner.scan(chunk, true, |length| messages.push(length));
    }
    (messages, scanner.status().map(|code| code.index()))
}

/// The lengths of the messages, decoded from the whole body.
fn decode(mut body: &[u8]) -> Vec<u32> {
    let mut messages = Vec::new();
    while let [flag, a, b, c, d, rest @ ..] = body {
        let length = u32::from_be_bytes([*a, *b, *c, *d]);
        let Some(rest) = rest.get(length as usize..) else {
            break;
        };
        if flag & TRAILERS == 0 {
            messages.push(length);
        }
        body = rest;
    }
    messages
}

fn cut<'a>(mut body: &'a [u8], sizes: &[u8]) -> Vec<&'a [u8]> {
    let mut chunks = Vec::new();
    for size in sizes {
        let (chunk, rest) = body.split_at(usize::from(*size).min(body.len()));
        chunks.push(chunk);
        body = rest;
    }
    chunks.push(body);
    chunks
}

fuzz_target!(|input: (Vec<u8>, Vec<u8>)| {
    let (body, sizes) = input;
    let whole = scan([&body[..]]);
    assert_eq!(whole.0, decode(&body));
    assert_eq!(scan(body.chunks(1)), whole);
    assert_eq!(scan(cut(&body, &sizes)), whole);
});
