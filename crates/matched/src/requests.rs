//! The requests of one stream, for the generated client to send.

use std::fmt;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use futures_util::Stream;

use crate::Protocol;
use crate::link::Link;

/// The requests of one stream. A request is taken from its call when the transport asks for it,
/// so that a server that does not read leaves the requests with their calls.
pub struct Requests<P: Protocol> {
    link: Arc<Link<P>>,
    stream: u64,
}

// === impl Requests ===

impl<P: Protocol> Requests<P> {
    pub(crate) const fn new(link: Arc<Link<P>>, stream: u64) -> Self {
        Self { link, stream }
    }
}

impl<P: Protocol> Stream for Requests<P> {
    type Item = P::Request;

    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<P::Request>> {
        self.link.poll_request(self.stream, cx)
    }
}

impl<P: Protocol> fmt::Debug for Requests<P> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Requests")
            .field("stream", &self.stream)
            .finish_non_exhaustive()
    }
}
