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

#[cfg(test)]
mod tests {
    use std::convert::Infallible;
    use std::time::Duration;

    use grpc_prometheus::ClientMetrics;
    use tokio::sync::mpsc;
    use tonic::body::Body;
    use tower::{Layer, ServiceExt, service_fn};
    use vitalmesh_context::DeadlineLayer;
    use vitalmesh_telemetry::Tracer;

    use super::*;

    fn target(timeout: Duration) -> Arc<Target> {
        let metrics = ClientMetrics::builder().register(&grpc_prometheus::Exposition::default());
        let uri = "http://upstream.test:1".parse().unwrap();
        Arc::new(Target::new(
            uri,
            timeout,
            metrics.unwrap().layer(),
            Tracer::default(),
        ))
    }

    /// A call to a service that never answers: what it sent as `grpc-timeout`, and how long it took.
    async fn never_answered(
        channel: u64,
        context: Option<u64>,
        own: Option<&'static str>,
    ) -> (String, Duration) {
        let (sender, mut sent) = mpsc::unbounded_channel();
        let hangs = service_fn(move |request: Request<Body>| {
            sender
                .send(request.headers()[GRPC_TIMEOUT].clone())
                .unwrap();
            std::future::pending::<Result<Response<Body>, Infallible>>()
        });
        let outbound = Outbound {
            inner: DeadlineLayer.layer(hangs),
            target: target(Duration::from_millis(channel)),
        };
        let mut request = Request::new(Body::empty());
        if let Some(own) = own {
            request
                .headers_mut()
                .insert(GRPC_TIMEOUT, own.parse().unwrap());
        }
        let begun = Instant::now();
        let call = outbound.oneshot(request);
        let response = match context {
            Some(context) => {
                let context = CallContext::root(Some(Duration::from_millis(context)));
                context.scope(call).await
            }
            None => call.await,
        };
        assert_eq!(response.unwrap().headers()["grpc-status"], "4");
        let sent = sent.recv().await.unwrap();
        (sent.to_str().unwrap().to_owned(), begun.elapsed())
    }

    #[tokio::test(start_paused = true)]
    async fn the_shortest_deadline_is_sent_and_kept() {
        for (channel, context, own, sent, took) in [
            (700, None, None, "700000u", 700),
            (700, Some(300), None, "300000u", 300),
            (700, None, Some("200m"), "200000u", 200),
            (700, Some(300), Some("200m"), "200000u", 200),
            (700, Some(100), Some("200m"), "100000u", 100),
            (700, Some(900), Some("1H"), "700000u", 700),
            (700, None, Some("soon"), "700000u", 700),
        ] {
            let observed = never_answered(channel, context, own).await;
            // tokio's timers have a resolution of a millisecond, and round up.
            let took = Duration::from_millis(took)..=Duration::from_millis(took + 1);
            assert_eq!(observed.0, sent, "{channel} {context:?} {own:?}");
            assert!(took.contains(&observed.1), "{observed:?}");
        }
    }
}
