//! The requests of one stream, as the stream that a generated client sends.

use std::fmt;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use futures_util::Stream;

use crate::Protocol;
use crate::multiplexer::Multiplexer;

/// The requests of one stream. The transport pulls each when it can send it, so requests do not pile
/// up before a server that does not read.
pub struct Requests<P: Protocol> {
    multiplexer: Arc<Multiplexer<P>>,
    stream: u64,
}

// === impl Requests ===

impl<P: Protocol> Requests<P> {
    pub(crate) const fn new(multiplexer: Arc<Multiplexer<P>>, stream: u64) -> Self {
        Self {
            multiplexer,
            stream,
        }
    }
}

impl<P: Protocol> Stream for Requests<P> {
    type Item = P::Request;

    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<P::Request>> {
        self.multiplexer.poll_request(self.stream, cx)
    }
}

impl<P: Protocol> fmt::Debug for Requests<P> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Requests")
            .field("stream", &self.stream)
            .finish_non_exhaustive()
    }
}
