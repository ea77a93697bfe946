//! Future and body wrappers that report headers, trailers, errors and drop to an observer.

use std::any::Any;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use http::{HeaderMap, Response};
use http_body::{Body, Frame, SizeHint};
use pin_project_lite::pin_project;

/// Observes one call. It is dropped when the call ends or is cancelled.
pub trait Observer {
    /// Runs a poll of the call, for example inside of a span.
    fn around_poll<T>(&mut self, poll: impl FnOnce() -> T) -> T {
        poll()
    }

    /// The response headers arrived. No body may follow.
    fn on_headers<B>(&mut self, response: &mut Response<B>);

    /// The trailers arrived; the call ends.
    fn on_trailers(&mut self, _trailers: &HeaderMap) {}

    /// The service or the body failed with this error; the call ends.
    fn on_error(&mut self, _error: &dyn Any) {}
}

pin_project! {
    /// A response future that reports to an observer, if there is one.
    #[derive(Debug)]
    pub struct ObservedFuture<F, O> {
        #[pin]
        inner: F,
        observer: Option<Box<O>>,
    }
}

pin_project! {
    /// A response body that reports to an observer, if there is one.
    #[derive(Debug)]
    pub struct ObservedBody<B, O> {
        #[pin]
        inner: B,
        observer: Option<Box<O>>,
    }
}

fn around_poll<O: Observer, T>(observer: &mut Option<Box<O>>, poll: impl FnOnce() -> T) -> T {
    match observer {
        Some(observer) => observer.around_poll(poll),
        None => poll(),
    }
}

// === impl ObservedFuture ===

impl<F, O> ObservedFuture<F, O> {
    /// Wraps a future. `None` observes nothing.
    pub const fn new(inner: F, observer: Option<Box<O>>) -> Self {
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
        let mut polled = ready!(around_poll(this.observer, || this.inner.poll(cx)));
        let mut observer = this.observer.take();
        if let Some(observer) = &mut observer {
            match &mut polled {
                Ok(response) => observer.on_headers(response),
                Err(error) => observer.on_error(error),
            }
        }
        Poll::Ready(polled.map(|response| {
            let (head, inner) = response.into_parts();
            // A body at its end may never be polled: the call ends here.
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
        let frame = ready!(around_poll(this.observer, || this.inner.poll_frame(cx)));
        let at_end = !matches!(&frame, Some(Ok(frame)) if frame.is_data());
        if let Some(mut observer) = this.observer.take_if(|_| at_end) {
            match &frame {
                Some(Ok(frame)) => frame.trailers_ref().into_iter().for_each(|trailers| {
                    observer.on_trailers(trailers);
                }),
                Some(Err(error)) => observer.on_error(error),
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
