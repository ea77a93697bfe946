//! Sets the deadline, the propagation headers and the span of each outgoing call.

use std::sync::Arc;
use std::task::{Context, Poll};

use http::{Request, Response};
use tokio::time::Instant;
use tower::Service;
use vitalmesh_context::{
    CallContext, GRPC_TIMEOUT, TRACEPARENT, TraceContext, requested_timeout, timeout_header,
};
use vitalmesh_telemetry::{ObservedBody, ObservedFuture, conventions};

use crate::channel::Target;
use crate::span::ClientSpan;

/// Sets the deadline, the propagation headers and the span of each call.
#[derive(Clone, Debug)]
pub(crate) struct Outbound<S> {
    pub(crate) inner: S,
    pub(crate) target: Arc<Target>,
}

// === impl Outbound ===

impl<S, ReqB, ResB> Service<Request<ReqB>> for Outbound<S>
where
    S: Service<Request<ReqB>, Response = Response<ResB>, Error: 'static>,
    ResB: http_body::Body<Error: 'static>,
{
    type Response = Response<ObservedBody<ResB, ClientSpan>>;
    type Error = S::Error;
    type Future = ObservedFuture<S::Future, ClientSpan>;

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
        let requested = requested_timeout(request.headers()).unwrap_or(self.target.timeout);
        let mut left = requested.min(self.target.timeout);
        if let Some(deadline) = caller.and_then(|caller| caller.deadline) {
            left = left.min(deadline.saturating_duration_since(now));
        }
        let headers = request.headers_mut();
        headers.insert(TRACEPARENT, trace.header());
        headers.insert(GRPC_TIMEOUT, timeout_header(left));
        let deadline = Some(now + left);
        let span = conventions::client_call(
            &self.target.tracer,
            trace,
            request.uri().path(),
            &self.target.uri,
        );
        let inner = CallContext { trace, deadline }.sync_scope(|| self.inner.call(request));
        ObservedFuture::new(inner, span.map(|span| Box::new(ClientSpan::new(span))))
    }
}
