//! The encodings of compressed messages.

use std::io::{self, Read};

use bytes::{BufMut, Bytes};
use flate2::read::MultiGzDecoder;
use flate2::{Decompress, FlushDecompress};
use ruzstd::decoding::StreamingDecoder;
use tonic::Status;

use super::PREFIX;

/// The value of `grpc-accept-encoding`.
pub(super) const SUPPORTED: &str = "gzip,deflate,zstd,identity";

const INFLATE_STEP: usize = 32 << 10;
/// The largest window of a frame, which RFC 8878 recommends to support.
const ZSTD_WINDOW: u64 = 8 << 20;

/// An encoding of `grpc-encoding`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Encoding {
    Gzip,
    /// With the header of zlib, as in HTTP.
    Deflate,
    Zstd,
}

// === impl Encoding ===

impl Encoding {
    pub(super) fn named(name: &[u8]) -> Option<Self> {
        match name {
            b"gzip" => Some(Self::Gzip),
            b"deflate" => Some(Self::Deflate),
            b"zstd" => Some(Self::Zstd),
            _ => None,
        }
    }

    /// The message without compression, with its prefix. Stops at `limit` bytes, however small the
    /// compressed message is.
    pub(super) fn decompress(self, message: &[u8], limit: usize) -> Result<Bytes, Status> {
        let mut decompressed = vec![0; PREFIX];
        // One more byte shows that there are more than `limit`.
        let most = PREFIX + limit + 1;
        let read = match self {
            _ if message.is_empty() => Err(io::ErrorKind::UnexpectedEof.into()),
            Self::Gzip => gunzip(message, &mut decompressed, most),
            Self::Deflate => inflate(message, &mut decompressed, most),
            Self::Zstd => unzstd(message, &mut decompressed, most),
        };
        read.map_err(|error| {
            Status::invalid_argument(format!("a message cannot be decompressed: {error}"))
        })?;
        let size = decompressed.len() - PREFIX;
        if size > limit {
            return Err(too_large(limit));
        }
        let size = u32::try_from(size).map_err(|_| too_large(limit))?;
        (&mut decompressed[1..PREFIX]).put_u32(size);
        Ok(decompressed.into())
    }
}

// Each appends to `output` until it has `most` bytes, or until the end of `message`, which must be
// complete.

fn gunzip(message: &[u8], output: &mut Vec<u8>, most: usize) -> io::Result<()> {
    let left = (most - output.len()) as u64;
    let mut decoder = MultiGzDecoder::new(message).take(left);
    decoder.read_to_end(output).map(|_| ())
}

/// `ZlibDecoder` takes a message that is cut off for a whole one.
fn inflate(message: &[u8], output: &mut Vec<u8>, most: usize) -> io::Result<()> {
    let mut decoder = Decompress::new(true);
    loop {
        let before = (decoder.total_in(), output.len());
        let rest = usize::try_from(before.0).map_or(&[][..], |read| &message[read..]);
        output.reserve(INFLATE_STEP.min(most - output.len()));
        let status = decoder.decompress_vec(rest, output, FlushDecompress::None)?;
        if status == flate2::Status::StreamEnd || output.len() >= most {
            return Ok(());
        }
        if before == (decoder.total_in(), output.len()) {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
    }
}

fn unzstd(mut message: &[u8], output: &mut Vec<u8>, most: usize) -> io::Result<()> {
    while !message.is_empty() && output.len() < most {
        let left = (most - output.len()) as u64;
        let decoder = StreamingDecoder::new_with_max_window_size(&mut message, ZSTD_WINDOW);
        let mut decoder = decoder.map_err(io::Error::other)?.take(left);
        decoder.read_to_end(output)?;
    }
    Ok(())
}

pub(super) fn too_large(limit: usize) -> Status {
    Status::out_of_range(format!(
        "a compressed message is larger than the limit of {limit} bytes"
    ))
}
