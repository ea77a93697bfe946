//! Length-prefix scanner: finds the gRPC messages in a stream of bytes, however it is cut.

use crate::code::Code;

/// Flag, then length as big-endian `u32`.
const PREFIX: usize = 5;

/// Set in the flag byte of a grpc-web trailers frame, which is not a message.
const TRAILERS: u8 = 0x80;

/// Where in the stream the next byte belongs.
#[derive(Clone, Debug, Default)]
pub(crate) struct Scanner {
    prefix: [u8; PREFIX],
    /// Bytes of `prefix` that are known; `PREFIX` while inside a message.
    filled: u8,
    /// Bytes of the message still to come.
    missing: u32,
    trailers: Trailers,
}

/// Looks for `grpc-status: <digits>` at the start of a line.
#[derive(Clone, Debug, Default)]
struct Trailers {
    place: Place,
    digits: [u8; 2],
    count: u8,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place {
    /// So many bytes of the name have been seen.
    Name(u8),
    Value,
    /// In a line of another name.
    Elsewhere,
    Done,
}

const NAME: &[u8] = b"grpc-status:";

// === impl Scanner ===

impl Scanner {
    /// Reads on and reports the length of each message whose last byte is in `chunk`.
    pub(crate) fn scan(&mut self, mut chunk: &[u8], mut message: impl FnMut(u32)) {
        while !chunk.is_empty() {
            if usize::from(self.filled) < PREFIX {
                chunk = self.fill(chunk);
                if usize::from(self.filled) < PREFIX {
                    return;
                }
            }
            let taken = (self.missing as usize).min(chunk.len());
            let (content, rest) = chunk.split_at(taken);
            chunk = rest;
            // No truncation: `taken` is at most `missing`.
            self.missing -= taken as u32;
            let is_message = self.prefix[0] & TRAILERS == 0;
            if !is_message {
                self.trailers.read(content);
            }
            if self.missing > 0 {
                return;
            }
            self.filled = 0;
            if is_message {
                message(self.length());
            }
        }
    }

    /// The status in a grpc-web trailers frame, if one has passed.
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
            self.missing = self.length();
        }
        &chunk[taken..]
    }

    const fn length(&self) -> u32 {
        let [_, a, b, c, d] = self.prefix;
        u32::from_be_bytes([a, b, c, d])
    }
}

// === impl Trailers ===

impl Trailers {
    fn read(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.place = match (self.place, byte) {
                (Place::Done, _) => return,
                (Place::Value, b'\r' | b'\n') => Place::Done,
                (Place::Value, byte) => self.digit(*byte),
                (_, b'\n') => Place::Name(0),
                (Place::Name(seen), byte) => Self::name(seen, *byte),
                (Place::Elsewhere, _) => Place::Elsewhere,
            };
        }
    }

    fn name(seen: u8, byte: u8) -> Place {
        let seen = usize::from(seen);
        match NAME.get(seen) {
            Some(expected) if byte.eq_ignore_ascii_case(expected) && seen + 1 == NAME.len() => {
                Place::Value
            }
            // No truncation: the name is short.
            Some(expected) if byte.eq_ignore_ascii_case(expected) => Place::Name(seen as u8 + 1),
            _ => Place::Elsewhere,
        }
    }

    fn digit(&mut self, byte: u8) -> Place {
        if byte != b' ' {
            if let Some(digit) = self.digits.get_mut(usize::from(self.count)) {
                *digit = byte;
            }
            self.count = self.count.saturating_add(1);
        }
        Place::Value
    }

    fn status(&self) -> Option<Code> {
        match (self.place, self.digits.get(..usize::from(self.count))) {
            (Place::Value | Place::Done, Some(digits)) => Some(Code::from_digits(digits)),
            (Place::Value | Place::Done, None) => Some(Code::UNKNOWN),
            _ => None,
        }
    }
}

impl Default for Place {
    fn default() -> Self {
        Self::Name(0)
    }
}
