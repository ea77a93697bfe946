//! Detects a caller that resets its request.
//!
//! tonic treats a reset request body as a complete one, so its response is an error that nobody
//! reads. The body and the layer that logs the call share only the thread of a poll.

use std::cell::Cell;
use std::pin::Pin;
use std::task::{Context, Poll};

use http_body::{Body, Frame, SizeHint};
use pin_project_lite::pin_project;

thread_local! {
    static RESET: Cell<bool> = const { Cell::new(false) };
}

pin_project! {
    /// A request body that reports to [`watch`] when it cannot be read to its end.
    #[derive(Debug)]
    pub(super) struct ResetBody<B> {
        #[pin]
        inner: B,
    }
}

/// Runs a poll and returns whether a request body failed in it.
pub(super) fn watch<T>(poll: impl FnOnce() -> T) -> (T, bool) {
    let outer = RESET.replace(false);
    let polled = poll();
    (polled, RESET.replace(outer))
}

// === impl ResetBody ===

impl<B> ResetBody<B> {
    pub(super) const fn new(inner: B) -> Self {
        Self { inner }
    }
}

impl<B: Body> Body for ResetBody<B> {
    type Data = B::Data;
    type Error = B::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Self::Data>, Self::Error>>> {
        let frame = self.project().inner.poll_frame(cx);
        if let Poll::Ready(Some(Err(_))) = frame {
            RESET.set(true);
        }
        frame
    }

    fn is_end_stream(&self) -> bool {
        self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.size_hint()
    }
}
