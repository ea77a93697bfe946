//! Bounds concurrent calls and refuses further ones at once.

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
use vitalmesh_status::StatusBody;

use crate::request::RequestInfo;

/// Makes [`Limit`] services that share one limit.
#[derive(Clone, Debug)]
pub(super) struct LimitLayer {
    permits: Arc<Semaphore>,
    shed: IntCounter,
}

/// Refuses calls above the limit with RESOURCE_EXHAUSTED, except for unlimited methods such as
/// health checks. A call counts until its response body has ended or is dropped.
#[derive(Clone, Debug)]
pub(super) struct Limit<S> {
    inner: S,
    layer: LimitLayer,
}

pin_project! {
    /// Holds the permit until the response, then passes it to the body.
    #[derive(Debug)]
    pub(super) struct ResponseFuture<F> {
        // None: refused.
        #[pin]
        inner: Option<F>,
        permit: Option<OwnedSemaphorePermit>,
    }
}

pin_project! {
    /// Holds the permit until the end of the call.
    #[derive(Debug)]
    pub(super) struct ResponseBody<B> {
        #[pin]
        inner: StatusBody<B>,
        permit: Option<OwnedSemaphorePermit>,
    }
}

// === impl LimitLayer ===

impl LimitLayer {
    /// Allows `limit` concurrent calls and counts refusals in `shed`.
    pub(super) fn new(limit: usize, shed: IntCounter) -> Self {
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
        let info = request.extensions().get::<RequestInfo>();
        let method = info.and_then(RequestInfo::method);
        let unlimited = method.is_some_and(|method| method.unlimited);
        let permit = match unlimited {
            true => None,
            false => Arc::clone(&self.layer.permits).try_acquire_owned().ok(),
        };
        let admitted = unlimited || permit.is_some();
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
            inner: StatusBody::new(body),
            permit: this.permit.take(),
        })))
    }
}

// === impl ResponseBody ===

impl<B> Default for ResponseBody<B> {
    fn default() -> Self {
        Self {
            inner: StatusBody::default(),
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
        let this = self.project();
        let frame = ready!(this.inner.poll_frame(cx));
        if !matches!(&frame, Some(Ok(frame)) if frame.is_data()) {
            *this.permit = None;
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

#[cfg(test)]
mod tests {
    use std::convert::Infallible;

    use http_body_util::BodyExt;
    use tower::{ServiceExt, service_fn};
    use vitalmesh_context::CallContext;

    use super::*;
    use crate::methods::{Method, MethodKind};
    use crate::request::Target;

    #[tokio::test]
    async fn the_call_above_the_limit_is_refused_until_another_body_has_ended() {
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
    async fn an_unlimited_method_is_never_refused() {
        let layer = LimitLayer::new(0, IntCounter::new("shed", "shed").unwrap());
        let service = layer.layer(service_fn(async |_: Request<()>| {
            Ok::<_, Infallible>(Response::new(String::new()))
        }));
        for (unlimited, shed) in [(true, 0), (false, 1)] {
            let method = Method {
                path: "/grpc.health.v1.Health/Check".into(),
                kind: MethodKind::Unary,
                metrics: None,
                unlimited,
                handler: Arc::new(|_| unreachable!("the stack ends above")),
                rewritten: None,
            };
            let mut check = Request::new(());
            check.extensions_mut().insert(RequestInfo {
                context: CallContext::root(None),
                peer: ([127, 0, 0, 1], 1).into(),
                target: Target::Method(Arc::new(method)),
                reset: None,
            });
            let response = service.clone().oneshot(check).await.unwrap();
            assert_eq!(response.headers().is_empty(), unlimited);
            assert_eq!(layer.shed.get(), shed);
        }
    }
}
