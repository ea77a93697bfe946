//! Length-prefix scanner: finds the gRPC messages in a stream of bytes, however it is cut.

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
}

// === impl Scanner ===

impl Scanner {
    /// Reads on and reports the length of each message whose last byte is in `chunk`.
    pub(crate) fn scan(&mut self, mut chunk: &[u8], mut message: impl FnMut(u32)) {
        while !chunk.is_empty() || self.is_complete() {
            if usize::from(self.filled) < PREFIX {
                chunk = self.fill(chunk);
            }
            if usize::from(self.filled) < PREFIX {
                return;
            }
            let taken = (self.missing as usize).min(chunk.len());
            chunk = &chunk[taken..];
            // No truncation: `taken` is at most `missing`.
            self.missing -= taken as u32;
            if self.missing > 0 {
                return;
            }
            self.filled = 0;
            if self.prefix[0] & TRAILERS == 0 {
                message(self.length());
            }
        }
    }

    fn is_complete(&self) -> bool {
        usize::from(self.filled) == PREFIX && self.missing == 0
    }

    fn fill<'a>(&mut self, chunk: &'a [u8]) -> &'a [u8] {
        let filled = usize::from(self.filled);
        let taken = (PREFIX - filled).min(chunk.len());
        self.prefix[filled..filled + taken].copy_from_slice(&chunk[..taken]);
        self.filled += taken as u8;
        if filled + taken == PREFIX {
            self.missing = self.length();
        }
        &chunk[taken..]
    }

    fn length(&self) -> u32 {
        let [_, length @ ..] = self.prefix;
        u32::from_be_bytes(length)
    }
}
