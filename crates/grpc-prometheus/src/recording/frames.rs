//! Finds gRPC messages in a byte stream by their length prefixes, however the stream is chunked.

use super::code::Code;

/// Flag byte, then the length as big-endian `u32`.
const PREFIX: usize = 5;

/// The flag of a compressed message. Without compression it is 0.
const COMPRESSED: u8 = 1;

/// Flag bit of a grpc-web trailers frame, which is not a message.
const TRAILERS: u8 = 0x80;

/// Position in the stream.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Scanner {
    prefix: [u8; PREFIX],
    /// Bytes of `prefix` read so far; `PREFIX` while inside a message.
    filled: u8,
    /// Bytes of the current message still to come.
    remaining: u32,
    trailers: StatusParser,
    /// Complete messages so far; saturates.
    messages: u8,
    /// A frame had an unknown flag.
    invalid: bool,
}

/// Finds `grpc-status: <digits>` at the start of a line of grpc-web trailers.
#[derive(Clone, Copy, Debug, Default)]
struct StatusParser {
    state: StatusState,
    digits: [u8; 2],
    count: u8,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum StatusState {
    /// Matched this many bytes of the name.
    Name(u8),
    Value,
    /// In a line with another name.
    OtherField,
    Done,
}

const NAME: &[u8] = b"grpc-status:";

// === impl Scanner ===

impl Scanner {
    /// Scans the next chunk and reports the length of each message that ends in it. Only grpc-web
    /// has frames of trailers.
    pub(crate) fn scan(&mut self, mut chunk: &[u8], web: bool, mut message: impl FnMut(u32)) {
        if let Some(length) = self.single_message(chunk) {
            return message(length);
        }
        while !chunk.is_empty() {
            if usize::from(self.filled) < PREFIX {
                chunk = self.fill(chunk);
                if usize::from(self.filled) < PREFIX {
                    return;
                }
            }
            let taken = (self.remaining as usize).min(chunk.len());
            let (content, rest) = chunk.split_at(taken);
            chunk = rest;
            // No truncation: `taken` is at most `remaining`.
            self.remaining -= taken as u32;
            let flag = self.prefix[0];
            let is_message = flag & TRAILERS == 0;
            if !is_message && web {
                self.trailers.read(content);
            } else if flag > COMPRESSED {
                self.invalid = true;
            }
            if self.remaining > 0 {
                return;
            }
            self.filled = 0;
            if is_message {
                self.messages = self.messages.saturating_add(1);
                message(self.length());
            }
        }
    }

    /// The length of the message if the chunk is exactly one: the common case.
    #[inline]
    pub(crate) fn single_message(&mut self, chunk: &[u8]) -> Option<u32> {
        let ([flag, a, b, c, d], content) = chunk.split_first_chunk()?;
        let length = u32::from_be_bytes([*a, *b, *c, *d]);
        let whole = self.filled == 0 && *flag <= COMPRESSED && content.len() == length as usize;
        if !whole {
            return None;
        }
        self.messages = self.messages.saturating_add(1);
        Some(length)
    }

    /// Complete messages so far, at most 255.
    pub(crate) const fn messages(&self) -> u8 {
        self.messages
    }

    /// Whether a frame had an unknown flag.
    pub(crate) const fn is_invalid(&self) -> bool {
        self.invalid
    }

    /// Whether all frames so far are complete.
    pub(crate) const fn is_complete(&self) -> bool {
        self.filled == 0
    }

    /// The status of a grpc-web trailers frame, if one has been scanned.
    pub(crate) fn status(&self) -> Option<Code> {
        self.trailers.status()
    }

    fn fill<'a>(&mut self, chunk: &'a [u8]) -> &'a [u8] {
        let filled = usize::from(self.filled);
        let taken = (PREFIX - filled).min(chunk.len());
        self.prefix[filled..filled + taken].copy_from_slice(&chunk[..taken]);
        // No truncation: at most `PREFIX`.
        self.filled += taken as u8;
        if filled + taken == PREFIX {
            self.remaining = self.length();
        }
        &chunk[taken..]
    }

    const fn length(&self) -> u32 {
        let [_, a, b, c, d] = self.prefix;
        u32::from_be_bytes([a, b, c, d])
    }
}

// === impl StatusParser ===

impl StatusParser {
    fn read(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.state = match (self.state, byte) {
                (StatusState::Done, _) => return,
                (StatusState::Value, b'\r' | b'\n') => StatusState::Done,
                (StatusState::Value, byte) => self.digit(*byte),
                (_, b'\n') => StatusState::Name(0),
                (StatusState::Name(seen), byte) => Self::name(seen, *byte),
                (StatusState::OtherField, _) => StatusState::OtherField,
            };
        }
    }

    fn name(seen: u8, byte: u8) -> StatusState {
        let seen = usize::from(seen);
        match NAME.get(seen) {
            Some(expected) if byte.eq_ignore_ascii_case(expected) && seen + 1 == NAME.len() => {
                StatusState::Value
            }
            // No truncation: the name is short.
            Some(expected) if byte.eq_ignore_ascii_case(expected) => {
                StatusState::Name(seen as u8 + 1)
            }
            _ => StatusState::OtherField,
        }
    }

    fn digit(&mut self, byte: u8) -> StatusState {
        if byte != b' ' {
            if let Some(digit) = self.digits.get_mut(usize::from(self.count)) {
                *digit = byte;
            }
            self.count = self.count.saturating_add(1);
        }
        StatusState::Value
    }

    fn status(&self) -> Option<Code> {
        match (self.state, self.digits.get(..usize::from(self.count))) {
            (StatusState::Value | StatusState::Done, Some(digits)) => {
                Some(Code::from_digits(digits))
            }
            (StatusState::Value | StatusState::Done, None) => Some(Code::UNKNOWN),
            _ => None,
        }
    }
}

impl Default for StatusState {
    fn default() -> Self {
        Self::Name(0)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Lengths of the complete messages in a whole body.
    fn reference(mut body: &[u8]) -> Vec<u32> {
        let mut messages = Vec::new();
        while let [flag, a, b, c, d, rest @ ..] = body {
            let length = u32::from_be_bytes([*a, *b, *c, *d]);
            let Some(rest) = rest.get(length as usize..) else {
                break;
            };
            if flag & 0x80 == 0 {
                messages.push(length);
            }
            body = rest;
        }
        messages
    }

    fn frame(flag: u8, length: usize) -> Vec<u8> {
        let mut frame = vec![flag];
        frame.extend(u32::try_from(length).unwrap().to_be_bytes());
        frame.extend((0..length).map(|index| index as u8));
        frame
    }

    fn scan<'a>(chunks: impl IntoIterator<Item = &'a [u8]>) -> Vec<u32> {
        let mut scanner = Scanner::default();
        let mut messages = Vec::new();
        for chunk in chunks {
            scanner.scan(chunk, false, |length| messages.push(length));
        }
        messages
    }

    proptest! {
        #[test]
        fn any_frames_in_any_pieces_are_what_a_plain_decoder_finds(
            frames in prop::collection::vec(
                (prop::sample::select(vec![0_u8, 1, 0x80, 0x81, 7]), 0..300_usize),
                0..12,
            ),
            cut in 0..20_usize,
            sizes in prop::collection::vec(0..40_usize, 1..20),
        ) {
            let mut body = frames.iter().map(|(flag, length)| frame(*flag, *length)).collect::<Vec<_>>().concat();
            body.truncate(body.len().saturating_sub(cut));
            let mut sizes = sizes.into_iter().cycle();
            let mut chunks = Vec::new();
            let mut rest = &body[..];
            let mut empty = 0;
            while !rest.is_empty() {
                let size = sizes.next().unwrap().min(rest.len());
                empty = if size == 0 { empty + 1 } else { 0 };
                let (chunk, after) = rest.split_at(if empty > 3 { 1 } else { size });
                chunks.push(chunk);
                rest = after;
            }
            prop_assert_eq!(scan(chunks), reference(&body));
            prop_assert_eq!(scan([&body[..]]), reference(&body));
            prop_assert_eq!(scan(body.chunks(1)), reference(&body));
        }

        #[test]
        fn any_bytes_are_scanned_like_the_reference(body in prop::collection::vec(any::<u8>(), 0..200)) {
            prop_assert_eq!(scan(body.chunks(1)), reference(&body));
            prop_assert_eq!(scan(body.chunks(7)), reference(&body));
        }
    }

    #[test]
    fn an_empty_message_counts_at_its_last_prefix_byte() {
        let mut scanner = Scanner::default();
        let mut messages = 0;
        scanner.scan(&[0, 0, 0, 0], false, |_| messages += 1);
        assert_eq!(messages, 0);
        let mut messages = 0;
        scanner.scan(&[0], false, |_| messages += 1);
        assert_eq!(messages, 1);
    }

    #[test]
    fn outside_of_grpc_web_a_frame_of_trailers_is_an_invalid_frame() {
        let mut body = frame(0x80, 15);
        body.truncate(PREFIX);
        body.extend(b"grpc-status:0\r\n");
        let mut scanner = Scanner::default();
        scanner.scan(&body, false, |_| panic!("no message"));
        assert_eq!(scanner.status(), None);
        assert!(scanner.is_invalid());
    }

    #[test]
    fn a_cut_frame_is_incomplete_and_an_unknown_flag_invalid() {
        for (body, expected) in [
            (frame(0, 3), [true, false]),
            (frame(1, 0), [true, false]),
            (frame(2, 3), [true, true]),
            (frame(0x81, 3), [true, true]),
            (frame(0, 3)[..7].to_vec(), [false, false]),
            (vec![0, 0], [false, false]),
        ] {
            for size in 1..=body.len() {
                let mut scanner = Scanner::default();
                for chunk in body.chunks(size) {
                    scanner.scan(chunk, false, |_| ());
                }
                let found = [scanner.is_complete(), scanner.is_invalid()];
                assert_eq!(found, expected, "{body:?}");
            }
        }
    }

    #[test]
    fn the_status_of_a_trailers_frame_is_found_among_others() {
        for (trailers, expected) in [
            (&b"grpc-status:0\r\n"[..], Some(Code::OK)),
            (
                b"grpc-status: 13\r\ngrpc-message: grpc-status:0\r\n",
                Some(Code::INTERNAL),
            ),
            (b"a: b\r\nGRPC-Status:1\r\n", Some(Code::CANCELED)),
            (b"grpc-status:42", Some(Code::UNKNOWN)),
            (b"grpc-status:0000000001\r\n", Some(Code::UNKNOWN)),
            (b"grpc-status:", Some(Code::UNKNOWN)),
            (b"x-grpc-status:0\r\n", None),
            (b"grpc-statu", None),
            (b"", None),
        ] {
            let mut body = frame(0x80, trailers.len());
            body.truncate(PREFIX);
            body.extend(trailers);
            let mut scanner = Scanner::default();
            for chunk in body.chunks(3) {
                scanner.scan(chunk, true, |_| panic!("trailers are no message"));
            }
            assert_eq!(scanner.status(), expected, "{trailers:?}");
        }
    }
}
