//! Bounds the calls in progress; what comes above the bound is refused at once.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use http::{Request, Response};
use http_body::{Body, Frame, SizeHint};
use pin_project_lite::pin_project;
use prometheus::IntCounter;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tonic::Status;
use tower::{Layer, Service};

/// Health checks pass an overloaded server: refusing them would make an orchestrator kill a
/// process that is busy, not ill.
const EXEMPT: &str = "/grpc.health.v1.Health/";

/// Makes [`Limit`] services that share one bound.
#[derive(Clone, Debug)]
pub(crate) struct LimitLayer {
    permits: Arc<Semaphore>,
    shed: IntCounter,
}

/// Answers RESOURCE_EXHAUSTED while as many calls as allowed are in progress. A call is in
/// progress until its response body has ended or is dropped.
#[derive(Clone, Debug)]
pub(crate) struct Limit<S> {
    inner: S,
    layer: LimitLayer,
}

pin_project! {
    /// Holds the call's permit until the head, then hands it to the body.
    #[derive(Debug)]
    pub(crate) struct ResponseFuture<F> {
        // None: refused.
        #[pin]
        inner: Option<F>,
        permit: Option<OwnedSemaphorePermit>,
    }
}

pin_project! {
    /// Holds the call's permit until its end.
    #[derive(Debug)]
    pub(crate) struct ResponseBody<B> {
        #[pin]
        inner: Option<B>,
        permit: Option<OwnedSemaphorePermit>,
    }
}

// === impl LimitLayer ===

impl LimitLayer {
    /// Allows `limit` calls at a time and counts each refused one in `shed`.
    pub(crate) fn new(limit: usize, shed: IntCounter) -> Self {
        Self {
            permits: Arc::new(Semaphore::new(limit)),
            shed,
        }
    }
}

impl<S> Layer<S> for LimitLayer {
    type Service = Limit<S>;

    fn layer(&self, inner: S) -> Self::Service {
        Limit {
            inner,
            layer: self.clone(),
        }
    }
}

// === impl Limit ===

impl<S, ReqB, ResB> Service<Request<ReqB>> for Limit<S>
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
        let exempt = request.uri().path().starts_with(EXEMPT);
        let permit = match exempt {
            true => None,
            false => Arc::clone(&self.layer.permits).try_acquire_owned().ok(),
        };
        let admitted = exempt || permit.is_some();
        if !admitted {
            self.layer.shed.inc();
        }
        ResponseFuture {
            inner: admitted.then(|| self.inner.call(request)),
            permit,
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
        let this = self.project();
        let Some(inner) = this.inner.as_pin_mut() else {
            let status = Status::resource_exhausted("too many calls in progress, try again later");
            return Poll::Ready(Ok(status.into_http()));
        };
        let response = ready!(inner.poll(cx))?;
        Poll::Ready(Ok(response.map(|body| ResponseBody {
            inner: Some(body),
            permit: this.permit.take(),
        })))
    }
}

// === impl ResponseBody ===

impl<B> Default for ResponseBody<B> {
    fn default() -> Self {
        Self {
            inner: None,
            permit: None,
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
        let Some(inner) = this.inner.as_mut().as_pin_mut() else {
            return Poll::Ready(None);
        };
        let frame = ready!(inner.poll_frame(cx));
        if !matches!(&frame, Some(Ok(frame)) if frame.is_data()) {
            *this.permit = None;
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.inner.as_ref().is_none_or(Body::is_end_stream)
    }

    fn size_hint(&self) -> SizeHint {
        self.inner
            .as_ref()
            .map_or_else(|| SizeHint::with_exact(0), Body::size_hint)
    }
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;

    use http_body_util::BodyExt;
    use tower::{ServiceExt, service_fn};

    use super::*;

    #[tokio::test]
    async fn the_call_above_the_bound_is_refused_until_a_body_has_ended() {
        let layer = LimitLayer::new(2, IntCounter::new("shed", "shed").unwrap());
        let service = layer.layer(service_fn(async |_: Request<()>| {
            Ok::<_, Infallible>(Response::new("body".to_owned()))
        }));
        let call = async || service.clone().oneshot(Request::new(())).await.unwrap();
        let (first, _second) = (call().await, call().await);
        let third = call().await;
        assert_eq!(third.headers()["grpc-status"], "8");
        assert_eq!(layer.shed.get(), 1);

        first.into_body().collect().await.unwrap();
        assert!(call().await.headers().is_empty());
    }

    #[tokio::test]
    async fn health_checks_are_never_refused() {
        let layer = LimitLayer::new(0, IntCounter::new("shed", "shed").unwrap());
        let service = layer.layer(service_fn(async |_: Request<()>| {
            Ok::<_, Infallible>(Response::new(String::new()))
        }));
        let check = Request::builder().uri("/grpc.health.v1.Health/Check");
        let response = service.oneshot(check.body(()).unwrap()).await.unwrap();
        assert!(response.headers().is_empty());
        assert_eq!(layer.shed.get(), 0);
    }
}
