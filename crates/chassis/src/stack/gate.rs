//! Refuses what is no gRPC call, as the gRPC protocol asks: 405 and 415.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};

use http::header::{ALLOW, CONTENT_TYPE};
use http::{HeaderValue, Method, Request, Response, StatusCode};
use pin_project_lite::pin_project;
use tower::{Layer, Service};

/// Makes [`Gate`] services.
#[derive(Clone, Copy, Debug)]
pub(crate) struct GateLayer;

/// Lets only POST requests with a gRPC content type through. A browser's form or a stray GET
/// never reaches a handler.
#[derive(Clone, Debug)]
pub(crate) struct Gate<S> {
    inner: S,
}

pin_project! {
    /// The inner answer, or the refusal.
    #[derive(Debug)]
    pub(crate) struct ResponseFuture<F> {
        #[pin]
        inner: Option<F>,
        refused: Option<Refused>,
    }
}

#[derive(Clone, Copy, Debug)]
enum Refused {
    Method,
    ContentType,
}

// === impl GateLayer ===

impl<S> Layer<S> for GateLayer {
    type Service = Gate<S>;

    fn layer(&self, inner: S) -> Self::Service {
        Gate { inner }
    }
}

// === impl Gate ===

impl<S, ReqB, ResB> Service<Request<ReqB>> for Gate<S>
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
        let refused = Refused::check(&request);
        ResponseFuture {
            inner: refused.is_none().then(|| self.inner.call(request)),
            refused,
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
        match (this.inner.as_pin_mut(), this.refused) {
            (Some(inner), _) => inner.poll(cx),
            (None, refused) => Poll::Ready(Ok(
                refused.map_or_else(Response::default, |refused| refused.response())
            )),
        }
    }
}

// === impl Refused ===

impl Refused {
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

/// `application/grpc`, with a `+` or `;` suffix or none. `application/grpc-web` is another protocol.
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
        GateLayer.layer(reached).oneshot(request).await.unwrap()
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
        for refused in [None, Some("text/plain"), Some("application/grpc-web")] {
            let response = answer(Method::POST, refused).await;
            assert_eq!(response.status(), StatusCode::UNSUPPORTED_MEDIA_TYPE);
            assert_eq!(response.body(), "");
        }
    }

    #[tokio::test]
    async fn other_methods_are_told_which_one_is_allowed() {
        let response = answer(Method::GET, Some("application/grpc")).await;
        assert_eq!(response.status(), StatusCode::METHOD_NOT_ALLOWED);
        assert_eq!(response.headers()[ALLOW], "POST");
    }
}
