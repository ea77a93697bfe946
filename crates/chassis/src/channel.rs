//! Channels to other services: lazy, kept alive, metered, and every call under a deadline.

use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use grpc_prometheus::{ClientLayer, ResponseBody};
use http::{Request, Response, Uri};
use hyper_util::client::legacy::connect::HttpConnector;
use tokio::time::Instant;
use tonic::body::Body;
use tonic::transport::Endpoint;
use tower::util::{BoxCloneSyncService, Oneshot};
use tower::{Service, ServiceBuilder, ServiceExt};

use crate::context::{CallContext, GRPC_TIMEOUT, TRACEPARENT, timeout_header};
use crate::stack::BoxError;
use crate::stack::deadline::DeadlineLayer;

const CONNECT_TIMEOUT: Duration = Duration::from_secs(1);
const KEEP_ALIVE_INTERVAL: Duration = Duration::from_secs(5);
const KEEP_ALIVE_TIMEOUT: Duration = Duration::from_secs(2);
/// How long sent bytes may stay unacknowledged before the kernel gives the connection up.
const TCP_USER_TIMEOUT: Duration = Duration::from_secs(10);

/// A channel to one service, for the generated clients. Cheap to clone.
///
/// It connects at the first call and again whenever the connection is lost. A call ends by its
/// deadline at the latest, also while it waits for a connection: the deadline of the call that
/// the running task works for, or the channel's own timeout, whichever comes first. Deadline and
/// trace travel on in `grpc-timeout` and `traceparent`.
#[derive(Clone, Debug)]
pub struct Channel {
    inner: BoxCloneSyncService<Request<Body>, Response<Body>, BoxError>,
}

/// Gives each call its deadline and its trace headers.
#[derive(Clone, Debug)]
struct Outbound<S> {
    inner: S,
    timeout: Duration,
}

/// Waits for readiness inside the call, so that the wait is under the call's deadline too.
#[derive(Clone, Debug)]
struct Queued<S> {
    inner: S,
}

// === impl Channel ===

impl Channel {
    /// A channel to `uri`, whose calls end after `timeout` unless their context ends earlier.
    pub(crate) fn new(uri: Uri, timeout: Duration, metrics: &ClientLayer) -> Self {
        let mut connector = HttpConnector::new();
        connector.enforce_http(false);
        connector.set_nodelay(true);
        connector.set_connect_timeout(Some(CONNECT_TIMEOUT));
        connector.set_tcp_user_timeout(Some(TCP_USER_TIMEOUT));
        let transport = Endpoint::from(uri)
            .connect_timeout(CONNECT_TIMEOUT)
            .http2_keep_alive_interval(KEEP_ALIVE_INTERVAL)
            .keep_alive_timeout(KEEP_ALIVE_TIMEOUT)
            .keep_alive_while_idle(true)
            // Resets on this connection are our own callers hanging up, not an attack.
            .http2_max_local_error_reset_streams(None)
            .connect_with_connector_lazy(connector);
        let stack = ServiceBuilder::new()
            .map_response(|response: Response<ResponseBody<_>>| response.map(Body::new))
            // Counts what the caller sees, the deadline below included.
            .layer(metrics)
            .layer_fn(|inner| Outbound { inner, timeout })
            .layer(DeadlineLayer)
            .layer_fn(|inner| Queued { inner })
            .service(transport);
        Self {
            inner: BoxCloneSyncService::new(stack),
        }
    }
}

impl Service<Request<Body>> for Channel {
    type Response = Response<Body>;
    type Error = BoxError;
    type Future = Pin<Box<dyn Future<Output = Result<Response<Body>, BoxError>> + Send>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        self.inner.call(request)
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
        let own = CallContext::from_headers(request.headers(), Some(self.timeout));
        let caller = CallContext::current();
        let deadline = match caller.and_then(|caller| caller.deadline) {
            Some(theirs) => own.deadline.map(|own| own.min(theirs)),
            None => own.deadline,
        };
        let trace = caller.map_or(own.trace, |caller| caller.trace.child());
        let headers = request.headers_mut();
        headers.insert(TRACEPARENT, trace.header());
        if let Some(deadline) = deadline {
            let left = deadline.saturating_duration_since(Instant::now());
            headers.insert(GRPC_TIMEOUT, timeout_header(left));
        }
        CallContext { trace, deadline }.sync_scope(|| self.inner.call(request))
    }
}

// === impl Queued ===

impl<S, R> Service<R> for Queued<S>
where
    S: Service<R> + Clone,
{
    type Response = S::Response;
    type Error = S::Error;
    type Future = Oneshot<S, R>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: R) -> Self::Future {
        self.inner.clone().oneshot(request)
    }
}
