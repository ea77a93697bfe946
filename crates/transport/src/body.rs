//! The response body: the peer's frames, with failures as statuses.

use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use hyper::body::Incoming;
use tonic::Status;

use crate::failure::status;

/// A response's data and trailers as they arrive.
///
/// Fails with the status that a reset stream or a lost connection means. To drop it before its end
/// cancels the call.
#[derive(Debug)]
pub struct ResponseBody {
    inner: Incoming,
}

// === impl ResponseBody ===

impl ResponseBody {
    pub(crate) const fn new(inner: Incoming) -> Self {
        Self { inner }
    }
}

impl Body for ResponseBody {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        let frame = Pin::new(&mut self.inner).poll_frame(cx);
        frame.map_err(|error| status(&error))
    }

    fn is_end_stream(&self) -> bool {
        self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.size_hint()
    }
}
