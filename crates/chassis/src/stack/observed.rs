//! Tells somebody how a call goes: its head, its trailers, its failure, and by a drop its end.

use std::any::Any;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use http::{HeaderMap, Response};
use http_body::{Body, Frame, SizeHint};
use pin_project_lite::pin_project;

/// Is told how one call goes, and dropped when the call ends or is given up.
pub(crate) trait Observer {
    /// Runs each poll of the call.
    fn enter<T>(&mut self, poll: impl FnOnce() -> T) -> T {
        poll()
    }

    /// The head has come; it may be all there is.
    fn head<B>(&mut self, response: &mut Response<B>);

    /// The trailers have come.
    fn trailers(&mut self, _trailers: &HeaderMap) {}

    /// There will be no head, or no more of the body, for this error of the service's.
    fn failed(&mut self, _error: &dyn Any) {}
}

pin_project! {
    /// A call's future; without an observer only the inner one.
    #[derive(Debug)]
    pub(crate) struct ObservedFuture<F, O> {
        #[pin]
        inner: F,
        observer: Option<Box<O>>,
    }
}

pin_project! {
    /// A call's response body; without an observer only the inner one.
    #[derive(Debug)]
    pub(crate) struct ObservedBody<B, O> {
        #[pin]
        inner: B,
        observer: Option<Box<O>>,
    }
}

fn enter<O: Observer, T>(observer: &mut Option<Box<O>>, poll: impl FnOnce() -> T) -> T {
    match observer {
        Some(observer) => observer.enter(poll),
        None => poll(),
    }
}

// === impl ObservedFuture ===

impl<F, O> ObservedFuture<F, O> {
    pub(crate) const fn new(inner: F, observer: Option<Box<O>>) -> Self {
        Self { inner, observer }
    }
}

impl<F, B, E, O> Future for ObservedFuture<F, O>
where
    F: Future<Output = Result<Response<B>, E>>,
    B: Body,
    E: 'static,
    O: Observer,
{
    type Output = Result<Response<ObservedBody<B, O>>, E>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.project();
        let mut polled = ready!(enter(this.observer, || this.inner.poll(cx)));
        let mut observer = this.observer.take();
        if let Some(observer) = &mut observer {
            match &mut polled {
                Ok(response) => observer.head(response),
                Err(error) => observer.failed(error),
            }
        }
        Poll::Ready(polled.map(|response| {
            let (head, inner) = response.into_parts();
            // A body that has already ended may never be polled.
            let observer = observer.filter(|_| !inner.is_end_stream());
            Response::from_parts(head, ObservedBody { inner, observer })
        }))
    }
}

// === impl ObservedBody ===

impl<B, O> Body for ObservedBody<B, O>
where
    B: Body<Error: 'static>,
    O: Observer,
{
    type Data = B::Data;
    type Error = B::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Self::Data>, Self::Error>>> {
        let this = self.project();
        let frame = ready!(enter(this.observer, || this.inner.poll_frame(cx)));
        let at_end = !matches!(&frame, Some(Ok(frame)) if frame.is_data());
        if let Some(mut observer) = this.observer.take_if(|_| at_end) {
            match &frame {
                Some(Ok(frame)) => frame.trailers_ref().into_iter().for_each(|trailers| {
                    observer.trailers(trailers);
                }),
                Some(Err(error)) => observer.failed(error),
                None => {}
            }
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.size_hint()
    }
}
