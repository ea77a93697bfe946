//! Whether a call's caller has gone while its request was read.
//!
//! tonic takes a reset request for one that ended, so its answer is an error of its own that
//! nobody reads. The body and the layer that logs the call share only the thread of a poll.

use std::cell::Cell;
use std::pin::Pin;
use std::task::{Context, Poll};

use http_body::{Body, Frame, SizeHint};
use pin_project_lite::pin_project;

thread_local! {
    static RESET: Cell<bool> = const { Cell::new(false) };
}

pin_project! {
    /// A request body that tells [`watch`] when it cannot be read to its end.
    #[derive(Debug)]
    pub(crate) struct Watched<B> {
        #[pin]
        inner: B,
    }
}

/// Runs a poll, and says whether a request body failed in it.
pub(crate) fn watch<T>(poll: impl FnOnce() -> T) -> (T, bool) {
    let outer = RESET.replace(false);
    let polled = poll();
    (polled, RESET.replace(outer))
}

// === impl Watched ===

impl<B> Watched<B> {
    pub(crate) const fn new(inner: B) -> Self {
        Self { inner }
    }
}

impl<B: Body> Body for Watched<B> {
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
