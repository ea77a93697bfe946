//! The channel to one upstream service.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use futures_util::TryFutureExt;
use grpc_prometheus::{ClientLayer, MeteredChannel, TraceId};
use http::{Request, Response, Uri};
use tonic::body::Body;
use tower::{BoxError, Layer, Service};
use vitalmesh_context::{CallContext, Deadline, DeadlineLayer};
use vitalmesh_telemetry::Tracer;
use vitalmesh_transport::Transport;

use crate::outbound::Outbound;

/// A channel to one upstream service, for generated clients. Cheap to clone.
///
/// It connects at the first call and again after the connection is lost. While the upstream is
/// unreachable, calls fail at once with UNAVAILABLE; the channel retries after 50 ms to 1 s.
///
/// Each call has a deadline, which includes the wait for a connection: the channel's timeout, the
/// call's own `grpc-timeout`, or the deadline of the [`CallContext`], whichever comes first.
/// `grpc-timeout` and `traceparent` propagate deadline and trace.
#[derive(Clone, Debug)]
pub struct Channel {
    stack: Arc<MeteredChannel<Outbound<Deadline<Transport>>>>,
    target: Arc<Target>,
}

/// The parts of a channel.
#[derive(Debug)]
pub(crate) struct Target {
    pub(crate) uri: Uri,
    pub(crate) timeout: Duration,
    metrics: ClientLayer,
    pub(crate) tracer: Tracer,
}

// === impl Channel ===

impl Channel {
    /// A channel to `uri`. Calls end after `timeout` at the latest. `metrics` counts them, `tracer`
    /// records their spans.
    pub fn new(uri: Uri, timeout: Duration, metrics: ClientLayer, tracer: Tracer) -> Self {
        Self::to(Arc::new(Target::new(uri, timeout, metrics, tracer)))
    }

    /// A channel like this one on its own connection, which closes with it.
    ///
    /// For a stream with a slow reader: its unread bytes fill the connection's flow-control window
    /// and would stall every call that shares the connection.
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
            // Outermost: counts what the caller sees, including the deadline.
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
        // The wait for a connection is part of the call and its deadline.
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, mut request: Request<Body>) -> Self::Future {
        let caller = CallContext::current();
        if let Some(caller) = caller.filter(|caller| caller.trace.sampled) {
            // For exemplars: the metrics layer runs before the call's own `traceparent` is written.
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

// === impl Target ===

impl Target {
    pub(crate) const fn new(
        uri: Uri,
        timeout: Duration,
        metrics: ClientLayer,
        tracer: Tracer,
    ) -> Self {
        Self {
            uri,
            timeout,
            metrics,
            tracer,
        }
    }
}
