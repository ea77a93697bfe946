//! Channels to other services: lazy, kept alive, metered, and every call under a deadline.

mod transport;

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use futures_util::TryFutureExt;
use grpc_prometheus::{ClientLayer, MeteredChannel};
use http::{Request, Response, Uri};
use tokio::time::Instant;
use tonic::body::Body;
use tower::{Layer, Service};

use self::transport::Transport;
use crate::context::{
    CallContext, GRPC_TIMEOUT, TRACEPARENT, TraceContext, asked_timeout, timeout_header,
};
use crate::stack::BoxError;
use crate::stack::deadline::{Deadline, DeadlineLayer};

/// A channel to one service, for the generated clients. Cheap to clone.
///
/// It connects at the first call and again when the connection is lost; while the service cannot
/// be reached, calls fail at once with UNAVAILABLE and it is tried again after 50 ms to 1 s. A call
/// ends by its deadline at the latest, also while it waits for a connection: the deadline of the
/// call that the running task works for, or the channel's own timeout, whichever comes first.
/// Deadline and trace travel on in `grpc-timeout` and `traceparent`.
#[derive(Clone, Debug)]
pub struct Channel {
    stack: Arc<MeteredChannel<Outbound<Deadline<Transport>>>>,
    target: Arc<Target>,
}

/// What a channel is made from.
#[derive(Debug)]
struct Target {
    uri: Uri,
    timeout: Duration,
    metrics: ClientLayer,
}

/// Gives each call its deadline and its trace headers.
#[derive(Clone, Debug)]
struct Outbound<S> {
    inner: S,
    timeout: Duration,
}

// === impl Channel ===

impl Channel {
    /// A channel to `uri`, whose calls end after `timeout` unless their context ends earlier.
    pub(crate) fn new(uri: Uri, timeout: Duration, metrics: ClientLayer) -> Self {
        Self::to(Arc::new(Target {
            uri,
            timeout,
            metrics,
        }))
    }

    /// A channel like this one on a connection of its own, which ends with it.
    ///
    /// For a stream whose reader may be slow: what it has not read fills the connection's window,
    /// and all that share the connection would wait for it.
    #[must_use]
    pub fn separate(&self) -> Self {
        Self::to(Arc::clone(&self.target))
    }

    fn to(target: Arc<Target>) -> Self {
        let outbound = Outbound {
            inner: DeadlineLayer.layer(Transport::new(target.uri.clone())),
            timeout: target.timeout,
        };
        Self {
            // Outermost: counts what the caller sees, the deadline included.
            stack: Arc::new(target.metrics.layer(outbound)),
            target,
        }
    }
}

impl Service<Request<Body>> for Channel {
    type Response = Response<Body>;
    type Error = BoxError;
    type Future = Pin<Box<dyn Future<Output = Result<Response<Body>, BoxError>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        // The wait for a connection is part of the call, and under its deadline.
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        let mut stack = (*self.stack).clone();
        Box::pin(
            stack
                .call(request)
                .map_ok(|response| response.map(Body::new)),
        )
    }
}

// === impl Outbound ===

impl<S, B> Service<Request<B>> for Outbound<S>
where
    S: Service<Request<B>>,
{
    type Response = S::Response;
    type Error = S::Error;
    type Future = S::Future;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, mut request: Request<B>) -> Self::Future {
        let now = Instant::now();
        let caller = CallContext::current();
        let trace = caller.map_or_else(TraceContext::root, |caller| caller.trace.child());
        let asked = asked_timeout(request.headers()).unwrap_or(self.timeout);
        let mut left = asked.min(self.timeout);
        if let Some(deadline) = caller.and_then(|caller| caller.deadline) {
            left = left.min(deadline.saturating_duration_since(now));
        }
        let headers = request.headers_mut();
        headers.insert(TRACEPARENT, trace.header());
        headers.insert(GRPC_TIMEOUT, timeout_header(left));
        let deadline = Some(now + left);
        CallContext { trace, deadline }.sync_scope(|| self.inner.call(request))
    }
}
