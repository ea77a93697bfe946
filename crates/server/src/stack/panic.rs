//! Turns a panic into INTERNAL, so that it costs one call.

use std::future::Future;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::task::{Context, Poll};

use http::{Request, Response};
use http_body::{Body, Frame, SizeHint};
use pin_project_lite::pin_project;
use prometheus::IntCounter;
use tonic::Status;
use tower::{Layer, Service};
use vitalmesh_status::StatusBody;

/// Makes [`CatchPanic`] services.
#[derive(Clone, Debug)]
pub(super) struct CatchPanicLayer {
    panics: IntCounter,
}

/// Answers INTERNAL if the inner service or its body panics. The panic hook that `init_log` sets
/// logs the panic.
#[derive(Clone, Debug)]
pub(super) struct CatchPanic<S> {
    inner: S,
    panics: IntCounter,
}

pin_project! {
    /// Resolves to INTERNAL when a poll panics.
    #[derive(Debug)]
    pub(super) struct ResponseFuture<F> {
        // None: `call` panicked.
        #[pin]
        inner: Option<F>,
        panics: IntCounter,
    }
}

pin_project! {
    /// Ends with INTERNAL when a poll panics.
    #[derive(Debug)]
    pub(super) struct ResponseBody<B> {
        #[pin]
        inner: StatusBody<B>,
        panics: Option<IntCounter>,
    }
}

fn panicked() -> Status {
    Status::internal("the handler panicked")
}

// === impl CatchPanicLayer ===

impl CatchPanicLayer {
    /// Counts each panic in `panics`.
    pub(super) const fn new(panics: IntCounter) -> Self {
        Self { panics }
    }
}

impl<S> Layer<S> for CatchPanicLayer {
    type Service = CatchPanic<S>;

    fn layer(&self, inner: S) -> Self::Service {
        CatchPanic {
            inner,
            panics: self.panics.clone(),
        }
    }
}

// === impl CatchPanic ===

impl<S, ReqB, ResB> Service<Request<ReqB>> for CatchPanic<S>
where
    S: Service<Request<ReqB>, Response = Response<ResB>>,
{
    type Response = Response<ResponseBody<ResB>>;
    type Error = S::Error;
    type Future = ResponseFuture<S::Future>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: Request<ReqB>) -> Self::Future {
        let inner = &mut self.inner;
        ResponseFuture {
            inner: catch_unwind(AssertUnwindSafe(|| inner.call(request))).ok(),
            panics: self.panics.clone(),
        }
    }
}

// === impl ResponseFuture ===

impl<F, B, E> Future for ResponseFuture<F>
where
    F: Future<Output = Result<Response<B>, E>>,
{
    type Output = Result<Response<ResponseBody<B>>, E>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let mut this = self.project();
        let polled = this
            .inner
            .as_mut()
            .as_pin_mut()
            .and_then(|inner| catch_unwind(AssertUnwindSafe(|| inner.poll(cx))).ok());
        let Some(polled) = polled else {
            this.panics.inc();
            this.inner.set(None);
            return Poll::Ready(Ok(panicked().into_http()));
        };
        polled.map_ok(|response| {
            response.map(|body| ResponseBody {
                inner: StatusBody::new(body),
                panics: Some(this.panics.clone()),
            })
        })
    }
}

// === impl ResponseBody ===

impl<B> Default for ResponseBody<B> {
    fn default() -> Self {
        Self {
            inner: StatusBody::default(),
            panics: None,
        }
    }
}

impl<B: Body> Body for ResponseBody<B> {
    type Data = B::Data;
    type Error = B::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Self::Data>, Self::Error>>> {
        let mut this = self.project();
        let polled = catch_unwind(AssertUnwindSafe(|| this.inner.as_mut().poll_frame(cx)));
        polled.unwrap_or_else(|_| {
            if let Some(panics) = this.panics {
                panics.inc();
            }
            Poll::Ready(Some(Ok(this.inner.end_with(&panicked()))))
        })
    }

    fn is_end_stream(&self) -> bool {
        self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.size_hint()
    }
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;

    use bytes::Bytes;
    use futures_util::stream;
    use http_body_util::{BodyExt, StreamBody};
    use tower::{ServiceExt, service_fn};

    use super::*;

    fn layer() -> CatchPanicLayer {
        CatchPanicLayer::new(IntCounter::new("panics", "panics").unwrap())
    }

    #[tokio::test]
    async fn a_panic_in_a_handler_is_internal() {
        let layer = layer();
        let call = layer.layer(service_fn(
            async |_: Request<()>| -> Result<Response<String>, Infallible> { panic!("on demand") },
        ));
        let response = call.oneshot(Request::new(())).await.unwrap();
        assert_eq!(response.headers()["grpc-status"], "13");
        assert_eq!(layer.panics.get(), 1);
    }

    #[tokio::test]
    async fn a_panic_in_a_stream_ends_it_with_internal_trailers() {
        let layer = layer();
        let call = layer.layer(service_fn(async |_: Request<()>| {
            let mut left = 2;
            let frames = stream::poll_fn(move |_| {
                left -= 1;
                assert!(left >= 0, "on demand");
                Poll::Ready(Some(Ok::<_, Infallible>(Frame::data(Bytes::from("x")))))
            });
            Ok::<_, Infallible>(Response::new(StreamBody::new(frames)))
        }));
        let response = call.oneshot(Request::new(())).await.unwrap();
        let body = response.into_body().collect().await.unwrap();
        assert_eq!(body.trailers().unwrap()["grpc-status"], "13");
        assert_eq!(body.to_bytes(), "xx");
        assert_eq!(layer.panics.get(), 1);
    }
}
