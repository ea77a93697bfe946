//! Hands hyper's requests to a tower service.

use std::future::Future;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use http::{Request, Response};
use hyper::body::Incoming;
use tokio::time::Instant;
use tower::Service;

use super::{Limits, overdue};
use crate::context::CallContext;
use crate::methods::{Methods, Shape};
use crate::stack::span::Arrival;

/// Gives each request its [`Arrival`].
pub(super) struct Adapter<S> {
    pub(super) service: S,
    pub(super) peer: SocketAddr,
    pub(super) methods: Arc<Methods>,
    pub(super) limits: Limits,
}

/// Says the call's deadline to its task once the response has a head.
pub(super) struct ResponseFuture<F> {
    /// Boxed: hyper moves it into a task, and it holds what every layer remembers.
    inner: Pin<Box<F>>,
    deadline: Option<Instant>,
}

// === impl Adapter ===

impl<S, B> hyper::service::Service<Request<Incoming>> for Adapter<S>
where
    S: Service<Request<Incoming>, Response = Response<B>> + Clone,
{
    type Response = Response<B>;
    type Error = S::Error;
    type Future = ResponseFuture<S::Future>;

    fn call(&self, mut request: Request<Incoming>) -> Self::Future {
        let method = self.methods.find(request.uri().path());
        let limit = match &method {
            Some((_, Shape::Streaming)) => self.limits.stream,
            _ => self.limits.call,
        };
        let context = CallContext::from_headers(request.headers(), limit);
        let arrival = Arrival {
            context,
            peer: self.peer,
            method: method.map(|(path, _)| path),
        };
        request.extensions_mut().insert(arrival);
        ResponseFuture {
            // Every service of this crate is always ready.
            inner: Box::pin(self.service.clone().call(request)),
            deadline: context.deadline,
        }
    }
}

// === impl ResponseFuture ===

impl<F: Future> Future for ResponseFuture<F> {
    type Output = F::Output;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<F::Output> {
        let response = ready!(self.inner.as_mut().poll(cx));
        overdue::expect_end(self.deadline);
        Poll::Ready(response)
    }
}
