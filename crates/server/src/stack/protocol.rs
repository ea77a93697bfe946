//! Rejects requests that are not gRPC calls, as the gRPC protocol requires: with 405 or 415, or with
//! UNIMPLEMENTED if they are compressed in an unknown encoding.
//!
//! They never become calls, so the layers inside neither count nor log them. They are counted here,
//! by their reason.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};

use grpc_prometheus::ContentType;
use http::header::{ALLOW, CONTENT_TYPE};
use http::{HeaderValue, Method, Request, Response, StatusCode};
use pin_project_lite::pin_project;
use prometheus::{IntCounter, IntCounterVec, Opts, Registry};
use tonic::Status;
use tower::{Layer, Service};
use vitalmesh_status::StatusBody;

use super::decompress;

/// Makes [`Protocol`] services.
#[derive(Clone, Debug)]
pub(super) struct ProtocolLayer {
    rejected: Rejected,
}

/// Passes only POST requests with a gRPC content type and a known encoding, so that a browser's form
/// or a stray GET never reaches a handler.
#[derive(Clone, Debug)]
pub(super) struct Protocol<S> {
    inner: S,
    rejected: Rejected,
}

/// `mesh_requests_rejected_total`.
#[derive(Clone, Debug)]
struct Rejected {
    method: IntCounter,
    content_type: IntCounter,
    encoding: IntCounter,
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
    Encoding,
}

// === impl ProtocolLayer ===

impl ProtocolLayer {
    /// `registry` gets `mesh_requests_rejected_total`.
    pub(super) fn new(registry: &Registry) -> prometheus::Result<Self> {
        let opts = Opts::new(
            "mesh_requests_rejected_total",
            "Requests to the gRPC port that are not gRPC calls.",
        );
        let counters = IntCounterVec::new(opts, &["reason"])?;
        registry.register(Box::new(counters.clone()))?;
        let reason = |reason| counters.with_label_values(&[reason]);
        let rejected = Rejected {
            method: reason("method"),
            content_type: reason("content_type"),
            encoding: reason("encoding"),
        };
        Ok(Self { rejected })
    }
}

impl<S> Layer<S> for ProtocolLayer {
    type Service = Protocol<S>;

    fn layer(&self, inner: S) -> Self::Service {
        Protocol {
            inner,
            rejected: self.rejected.clone(),
        }
    }
}

// === impl Protocol ===

impl<S, ReqB, ResB> Service<Request<ReqB>> for Protocol<S>
where
    S: Service<Request<ReqB>, Response = Response<ResB>>,
{
    type Response = Response<StatusBody<ResB>>;
    type Error = S::Error;
    type Future = ResponseFuture<S::Future>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: Request<ReqB>) -> Self::Future {
        let rejection = Rejection::check(&request);
        if let Some(rejection) = rejection {
            self.rejected.count(rejection);
        }
        ResponseFuture {
            inner: rejection.is_none().then(|| self.inner.call(request)),
            rejection,
        }
    }
}

// === impl Rejected ===

impl Rejected {
    fn count(&self, rejection: Rejection) {
        match rejection {
            Rejection::Method => self.method.inc(),
            Rejection::ContentType => self.content_type.inc(),
            Rejection::Encoding => self.encoding.inc(),
        }
    }
}

// === impl ResponseFuture ===

impl<F, B, E> Future for ResponseFuture<F>
where
    F: Future<Output = Result<Response<B>, E>>,
{
    type Output = Result<Response<StatusBody<B>>, E>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.project();
        match (this.inner.as_pin_mut(), this.rejection) {
            (Some(inner), _) => inner
                .poll(cx)
                .map_ok(|response| response.map(StatusBody::new)),
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
        let headers = request.headers();
        if ContentType::of(headers.get(CONTENT_TYPE)) != Some(ContentType::Grpc) {
            return Some(Self::ContentType);
        }
        decompress::is_unsupported(headers).then_some(Self::Encoding)
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
            Self::Encoding => {
                let status = Status::unimplemented("the grpc-encoding is not supported");
                return decompress::advertise(status.into_http());
            }
        }
        response
    }
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;
    use std::iter;

    use http::request;
    use http_body_util::BodyExt;
    use tower::{ServiceExt, service_fn};

    use super::*;

    /// The response to one request, and the reasons that were counted.
    async fn answer(request: request::Builder) -> (Response<String>, Vec<String>) {
        let reached = service_fn(async |_: Request<()>| {
            Ok::<_, Infallible>(Response::new("reached".to_owned()))
        });
        let registry = Registry::new();
        let layer = ProtocolLayer::new(&registry).unwrap();
        let request = request.body(()).unwrap();
        let response = layer.layer(reached).oneshot(request).await.unwrap();
        let (head, body) = response.into_parts();
        let body = body.collect().await.unwrap().to_bytes();
        let body = String::from_utf8(body.into()).unwrap();
        let family = registry.gather().remove(0);
        let counted = family.get_metric().iter().flat_map(|metric| {
            let reason = metric.get_label()[0].value().to_owned();
            iter::repeat_n(reason, metric.get_counter().get_value() as usize)
        });
        (Response::from_parts(head, body), counted.collect())
    }

    fn post(content_type: Option<&str>) -> request::Builder {
        let request = Request::builder().method(Method::POST);
        match content_type {
            Some(content_type) => request.header(CONTENT_TYPE, content_type),
            None => request,
        }
    }

    #[tokio::test]
    async fn only_grpc_content_types_reach_the_handler() {
        for passes in [
            "application/grpc",
            "Application/gRPC",
            "application/grpc+proto",
            "application/grpc;x=y",
        ] {
            let (response, counted) = answer(post(Some(passes))).await;
            assert_eq!(response.body(), "reached");
            assert!(counted.is_empty(), "{counted:?}");
        }
        for rejected in [
            None,
            Some("text/plain"),
            Some("application/grpcx"),
            Some("application/grpc-web"),
            Some("application/grpc-web+proto"),
        ] {
            let (response, counted) = answer(post(rejected)).await;
            assert_eq!(response.status(), StatusCode::UNSUPPORTED_MEDIA_TYPE);
            assert_eq!(
                (&**response.body(), &*counted),
                ("", &["content_type".to_owned()][..])
            );
        }
    }

    #[tokio::test]
    async fn other_http_methods_are_rejected_with_the_allowed_one() {
        for method in [Method::GET, Method::OPTIONS, Method::PUT] {
            let request = post(Some("application/grpc")).method(method);
            let (response, counted) = answer(request).await;
            assert_eq!(response.status(), StatusCode::METHOD_NOT_ALLOWED);
            assert_eq!(response.headers()[ALLOW], "POST");
            assert_eq!(counted, ["method"]);
        }
    }

    #[tokio::test]
    async fn an_unknown_encoding_is_unimplemented_and_names_the_known_ones() {
        for unknown in ["snappy", "GZIP", "gzip, zstd", ""] {
            let request = post(Some("application/grpc")).header("grpc-encoding", unknown);
            let (response, counted) = answer(request).await;
            assert_eq!(response.status(), StatusCode::OK);
            assert_eq!(response.headers()["grpc-status"], "12", "{unknown}");
            assert_eq!(
                response.headers()["grpc-accept-encoding"],
                "gzip,deflate,zstd,identity"
            );
            assert_eq!(counted, ["encoding"]);
        }
        for known in ["gzip", "zstd", "deflate", "identity"] {
            let request = post(Some("application/grpc")).header("grpc-encoding", known);
            let (response, counted) = answer(request).await;
            assert_eq!((&**response.body(), counted.len()), ("reached", 0));
        }
    }
}
