//! Adapts a tower service to hyper, and resolves what each request addresses.

use std::future::Future;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http::header::CONNECTION;
use http::{HeaderValue, Request, Response, Version};
use http_body_util::{Either, Full};
use hyper::body::Incoming;
use tokio::time::Instant;
use tower::Service;

use vitalmesh_context::CallContext;

use super::head::Refusal;
use super::slash::trimmed;
use super::{Limits, overdue};
use crate::methods::{MethodKind, Methods};
use crate::request::{RequestInfo, Target};

/// Adds the [`RequestInfo`] to each request.
pub(super) struct Adapter<S> {
    pub(super) service: S,
    pub(super) peer: SocketAddr,
    pub(super) methods: Arc<Methods>,
    pub(super) limits: Limits,
    /// Whether HTTP/1 connections close after their next response.
    pub(super) closing: Arc<AtomicBool>,
}

/// The response of the service, or of the adapter if it refuses the request's head.
pub(super) enum ResponseFuture<F> {
    Refused(Refusal),
    Called(Call<F>),
}

/// Reports the call's deadline to the connection's executor when the response has headers, and adds
/// `Connection: close` to the headers of the last response on an HTTP/1 connection.
pub(super) struct Call<F> {
    /// Boxed, because hyper moves it into a task and it holds the state of every layer.
    inner: Pin<Box<F>>,
    deadline: Option<Instant>,
    /// `None` on HTTP/2, whose connections get GOAWAY.
    closing: Option<Arc<AtomicBool>>,
}

// === impl Adapter ===

impl<S, B> hyper::service::Service<Request<Incoming>> for Adapter<S>
where
    S: Service<Request<Incoming>, Response = Response<B>> + Clone,
{
    type Response = Response<Either<B, Full<Bytes>>>;
    type Error = S::Error;
    type Future = ResponseFuture<S::Future>;

    fn call(&self, mut request: Request<Incoming>) -> Self::Future {
        let is_http1 = request.version() < Version::HTTP_2;
        if is_http1 && let Err(refusal) = Refusal::check(&request) {
            tracing::debug!(peer = %self.peer, ?refusal, "refused a request's head");
            return ResponseFuture::Refused(refusal);
        }
        let method = self.methods.find(request.uri().path());
        if method.is_none()
            && let Some(uri) = trimmed(request.uri())
        {
            *request.uri_mut() = uri;
        }
        let limit = match method.map(|method| method.kind) {
            Some(MethodKind::Streaming) => self.limits.stream,
            _ => self.limits.call,
        };
        let context = CallContext::from_headers(request.headers(), limit);
        let method = method.map(Arc::clone);
        request.extensions_mut().insert(RequestInfo {
            context,
            peer: self.peer,
            target: method.map_or(Target::Unknown, Target::Method),
            reset: None,
        });
        ResponseFuture::Called(Call {
            // The stacks of this crate are always ready.
            inner: Box::pin(self.service.clone().call(request)),
            deadline: context.deadline,
            closing: is_http1.then(|| Arc::clone(&self.closing)),
        })
    }
}

// === impl ResponseFuture ===

impl<F, B, E> Future for ResponseFuture<F>
where
    F: Future<Output = Result<Response<B>, E>>,
{
    type Output = Result<Response<Either<B, Full<Bytes>>>, E>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let call = match self.get_mut() {
            Self::Called(call) => call,
            Self::Refused(refusal) => {
                let response = refusal.response();
                return Poll::Ready(Ok(response.map(|body| Either::Right(Full::new(body)))));
            }
        };
        let response = ready!(call.inner.as_mut().poll(cx));
        overdue::expect_end(call.deadline);
        let closing = call.closing.as_deref();
        let closes = closing.is_some_and(|closing| closing.load(Ordering::Relaxed));
        Poll::Ready(response.map(|mut response| {
            if closes {
                let headers = response.headers_mut();
                headers.insert(CONNECTION, HeaderValue::from_static("close"));
            }
            response.map(Either::Left)
        }))
    }
}
