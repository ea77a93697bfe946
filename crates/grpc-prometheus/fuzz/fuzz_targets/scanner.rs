//! However a body is cut, the scanner finds the same messages and the same status.
#![no_main]

#[path = "../../src/code.rs"]
#[allow(dead_code, reason = "half of a module of the library")]
mod code;
#[path = "../../src/frames.rs"]
mod frames;

use frames::Scanner;
use libfuzzer_sys::fuzz_target;

/// The lengths of the messages, and the status of a grpc-web trailers frame.
fn scan<'a>(chunks: impl IntoIterator<Item = &'a [u8]>) -> (Vec<u32>, Option<usize>) {
    let mut scanner = Scanner::default();
    let mut messages = Vec::new();
    for chunk in chunks {
        scanner.scan(chunk, |length| messages.push(length));
    }
    (messages, scanner.status().map(|code| code.index()))
}

fuzz_target!(|input: (Vec<u8>, Vec<u8>)| {
    let (body, cuts) = input;
    let whole = scan([&body[..]]);
    assert_eq!(scan(body.chunks(1)), whole);
    let mut chunks = Vec::new();
    let mut rest = &body[..];
    for cut in cuts {
        let (chunk, after) = rest.split_at(usize::from(cut).min(rest.len()));
        chunks.push(chunk);
        rest = after;
    }
    chunks.push(rest);
    assert_eq!(scan(chunks), whole);
    let framed: u64 = whole.0.iter().map(|length| u64::from(*length) + 5).sum();
    assert!(framed <= body.len() as u64);
});
