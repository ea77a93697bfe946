//! Channels to other services: lazy, kept alive, metered, and every call under a deadline.

mod traced;
mod transport;

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use futures_util::TryFutureExt;
use grpc_prometheus::{ClientLayer, MeteredChannel, TraceId};
use http::{Request, Response, Uri};
use tokio::time::Instant;
use tonic::body::Body;
use tower::{Layer, Service};

use self::traced::Made;
pub(crate) use self::transport::Transport;
use crate::context::{
    CallContext, GRPC_TIMEOUT, TRACEPARENT, TraceContext, asked_timeout, timeout_header,
};
use crate::stack::BoxError;
use crate::stack::deadline::{Deadline, DeadlineLayer};
use crate::stack::observed::{ObservedBody, ObservedFuture};
use crate::trace::{Tracer, conventions};

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
    tracer: Tracer,
}

/// Gives each call its deadline, its trace headers and its span.
#[derive(Clone, Debug)]
struct Outbound<S> {
    inner: S,
    target: Arc<Target>,
}

// === impl Channel ===

impl Channel {
    /// A channel to `uri`, whose calls end after `timeout` unless their context ends earlier.
    pub(crate) fn new(uri: Uri, timeout: Duration, metrics: ClientLayer, tracer: Tracer) -> Self {
        Self::to(Arc::new(Target {
            uri,
            timeout,
            metrics,
            tracer,
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
            target: Arc::clone(&target),
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

    fn call(&mut self, mut request: Request<Body>) -> Self::Future {
        let caller = CallContext::current();
        if let Some(caller) = caller.filter(|caller| caller.trace.sampled) {
            // For the exemplars: the call's own header is written below the metrics.
            let trace_id = TraceId(caller.trace.trace_id.to_be_bytes());
            request.extensions_mut().insert(trace_id);
        }
        let mut stack = (*self.stack).clone();
        Box::pin(
            stack
                .call(request)
                .map_ok(|response| response.map(Body::new)),
        )
    }
}

// === impl Outbound ===

impl<S, ReqB, ResB> Service<Request<ReqB>> for Outbound<S>
where
    S: Service<Request<ReqB>, Response = Response<ResB>, Error: 'static>,
    ResB: http_body::Body<Error: 'static>,
{
    type Response = Response<ObservedBody<ResB, Made>>;
    type Error = S::Error;
    type Future = ObservedFuture<S::Future, Made>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, mut request: Request<ReqB>) -> Self::Future {
        let now = Instant::now();
        let caller = CallContext::current();
        let trace = match caller {
            Some(caller) => caller.trace.child(),
            None => self.target.tracer.sample(TraceContext::root()),
        };
        let asked = asked_timeout(request.headers()).unwrap_or(self.target.timeout);
        let mut left = asked.min(self.target.timeout);
        if let Some(deadline) = caller.and_then(|caller| caller.deadline) {
            left = left.min(deadline.saturating_duration_since(now));
        }
        let headers = request.headers_mut();
        headers.insert(TRACEPARENT, trace.header());
        headers.insert(GRPC_TIMEOUT, timeout_header(left));
        let deadline = Some(now + left);
        let span = conventions::made(
            &self.target.tracer,
            trace,
            request.uri().path(),
            &self.target.uri,
        );
        let inner = CallContext { trace, deadline }.sync_scope(|| self.inner.call(request));
        ObservedFuture::new(inner, span.map(|span| Box::new(Made::new(span))))
    }
}
