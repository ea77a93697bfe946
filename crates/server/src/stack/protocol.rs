//! Rejects requests that are not gRPC calls with 405 or 415, as the gRPC protocol requires.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};

use http::header::{ALLOW, CONTENT_TYPE};
use http::{HeaderValue, Method, Request, Response, StatusCode};
use pin_project_lite::pin_project;
use tower::{Layer, Service};

/// Makes [`Protocol`] services.
#[derive(Clone, Copy, Debug)]
pub(super) struct ProtocolLayer;

/// Passes only POST requests with a gRPC content type, so that a browser's form or a stray GET never
/// reaches a handler.
#[derive(Clone, Debug)]
pub(super) struct Protocol<S> {
    inner: S,
}

pin_project! {
    /// The inner response, or the rejection.
    #[derive(Debug)]
    pub(super) struct ResponseFuture<F> {
        #[pin]
        inner: Option<F>,
        rejection: Option<Rejection>,
    }
}

#[derive(Clone, Copy, Debug)]
enum Rejection {
    Method,
    ContentType,
}

// === impl ProtocolLayer ===

impl<S> Layer<S> for ProtocolLayer {
    type Service = Protocol<S>;

    fn layer(&self, inner: S) -> Self::Service {
        Protocol { inner }
    }
}

// === impl Protocol ===

impl<S, ReqB, ResB> Service<Request<ReqB>> for Protocol<S>
where
    S: Service<Request<ReqB>, Response = Response<ResB>>,
    ResB: Default,
{
    type Response = Response<ResB>;
    type Error = S::Error;
    type Future = ResponseFuture<S::Future>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: Request<ReqB>) -> Self::Future {
        let rejection = Rejection::check(&request);
        ResponseFuture {
            inner: rejection.is_none().then(|| self.inner.call(request)),
            rejection,
        }
    }
}

// === impl ResponseFuture ===

impl<F, B, E> Future for ResponseFuture<F>
where
    F: Future<Output = Result<Response<B>, E>>,
    B: Default,
{
    type Output = Result<Response<B>, E>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.project();
        match (this.inner.as_pin_mut(), this.rejection) {
            (Some(inner), _) => inner.poll(cx),
            (None, rejection) => Poll::Ready(Ok(
                rejection.map_or_else(Response::default, |rejection| rejection.response())
            )),
        }
    }
}

// === impl Rejection ===

impl Rejection {
    fn check<B>(request: &Request<B>) -> Option<Self> {
        if request.method() != Method::POST {
            return Some(Self::Method);
        }
        let content_type = request.headers().get(CONTENT_TYPE);
        (!content_type.is_some_and(is_grpc)).then_some(Self::ContentType)
    }

    fn response<B: Default>(self) -> Response<B> {
        let mut response = Response::<B>::default();
        match self {
            Self::Method => {
                *response.status_mut() = StatusCode::METHOD_NOT_ALLOWED;
                let post = HeaderValue::from_static("POST");
                response.headers_mut().insert(ALLOW, post);
            }
            Self::ContentType => *response.status_mut() = StatusCode::UNSUPPORTED_MEDIA_TYPE,
        }
        response
    }
}

/// Matches `application/grpc` with a `+` or `;` suffix or none, but not `application/grpc-web`.
fn is_grpc(content_type: &HeaderValue) -> bool {
    content_type
        .as_bytes()
        .strip_prefix(b"application/grpc")
        .is_some_and(|suffix| matches!(suffix.first(), None | Some(b'+' | b';')))
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;

    use tower::{ServiceExt, service_fn};

    use super::*;

    async fn answer(method: Method, content_type: Option<&str>) -> Response<String> {
        let reached = service_fn(async |_: Request<()>| {
            Ok::<_, Infallible>(Response::new("reached".to_owned()))
        });
        let mut request = Request::builder().method(method);
        if let Some(content_type) = content_type {
            request = request.header(CONTENT_TYPE, content_type);
        }
        let request = request.body(()).unwrap();
        ProtocolLayer.layer(reached).oneshot(request).await.unwrap()
    }

    #[tokio::test]
    async fn only_grpc_content_types_reach_the_handler() {
        for passes in [
            "application/grpc",
            "application/grpc+proto",
            "application/grpc;x=y",
        ] {
            assert_eq!(answer(Method::POST, Some(passes)).await.body(), "reached");
        }
        for rejection in [None, Some("text/plain"), Some("application/grpc-web")] {
            let response = answer(Method::POST, rejection).await;
            assert_eq!(response.status(), StatusCode::UNSUPPORTED_MEDIA_TYPE);
            assert_eq!(response.body(), "");
        }
    }

    #[tokio::test]
    async fn other_http_methods_are_rejected_with_the_allowed_one() {
        let response = answer(Method::GET, Some("application/grpc")).await;
        assert_eq!(response.status(), StatusCode::METHOD_NOT_ALLOWED);
        assert_eq!(response.headers()[ALLOW], "POST");
    }
}
