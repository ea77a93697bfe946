//! HTTP metrics by matched route, method and status.

use std::task::{Context, Poll};

use axum::extract::MatchedPath;
use http::{Method, Request, Response};
use http_body::Body;
use prometheus::{HistogramOpts, HistogramVec, IntCounterVec, Opts, Registry};
use tokio::time::Instant;
use tower::{Layer, Service};
use vitalmesh_status::{CLIENT_CLOSED_REQUEST, method_label};
use vitalmesh_telemetry::{ObservedBody, ObservedFuture, Observer};

/// Seconds. Finer than prometheus' defaults below 5 ms, the range of a local mesh.
const BUCKETS: [f64; 16] = [
    0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5,
    5.0, 10.0,
];

/// Counts requests by matched route, so that a client cannot create series.
#[derive(Clone, Debug)]
pub(crate) struct HttpMetrics {
    // These types hash labels without a check for collisions. All label values come from the
    // program, so a client cannot choose two that collide.
    requests: IntCounterVec,
    seconds: HistogramVec,
}

/// Counts the requests of the inner service.
#[derive(Clone, Debug)]
pub(crate) struct Counted<S> {
    inner: S,
    metrics: HttpMetrics,
}

/// One request. It is recorded when it is dropped, at the end of the response body or before.
#[derive(Debug)]
pub(crate) struct HttpCall {
    metrics: HttpMetrics,
    route: Option<MatchedPath>,
    method: &'static str,
    status: u16,
    started: Instant,
}

// === impl HttpMetrics ===

impl HttpMetrics {
    pub(crate) fn register(registry: &Registry) -> prometheus::Result<Self> {
        let requests = IntCounterVec::new(
            Opts::new(
                "http_server_requests_total",
                "HTTP requests by matched route, method and status.",
            ),
            &["route", "method", "status"],
        )?;
        let seconds = HistogramVec::new(
            HistogramOpts::new(
                "http_server_request_duration_seconds",
                "From a request's head to the end of its response, in seconds.",
            )
            .buckets(BUCKETS.to_vec()),
            &["route", "method"],
        )?;
        registry.register(Box::new(requests.clone()))?;
        registry.register(Box::new(seconds.clone()))?;
        Ok(Self { requests, seconds })
    }

    /// Creates the series of a route, at 0.
    pub(super) fn create_series(
        &self,
        route: &str,
        method: &Method,
        answers: impl Iterator<Item = u16>,
    ) {
        let method = method_label(method);
        for answer in answers {
            let mut digits = [0; 3];
            let labels = [route, method, status_label(answer, &mut digits)];
            self.requests.with_label_values(&labels);
        }
        self.seconds.with_label_values(&[route, method]);
    }
}

impl<S> Layer<S> for HttpMetrics {
    type Service = Counted<S>;

    fn layer(&self, inner: S) -> Self::Service {
        Counted {
            inner,
            metrics: self.clone(),
        }
    }
}

// === impl Counted ===

impl<S, ReqB, ResB> Service<Request<ReqB>> for Counted<S>
where
    S: Service<Request<ReqB>, Response = Response<ResB>, Error: 'static>,
    ResB: Body<Error: 'static>,
{
    type Response = Response<ObservedBody<ResB, HttpCall>>;
    type Error = S::Error;
    type Future = ObservedFuture<S::Future, HttpCall>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: Request<ReqB>) -> Self::Future {
        let call = HttpCall {
            metrics: self.metrics.clone(),
            route: request.extensions().get::<MatchedPath>().cloned(),
            method: method_label(request.method()),
            status: CLIENT_CLOSED_REQUEST,
            started: Instant::now(),
        };
        ObservedFuture::new(self.inner.call(request), Some(Box::new(call)))
    }
}

// === impl HttpCall ===

impl Observer for HttpCall {
    fn on_headers<B>(&mut self, response: &mut Response<B>) {
        self.status = response.status().as_u16();
    }
}

impl Drop for HttpCall {
    fn drop(&mut self) {
        let route = self.route.as_ref().map_or("unknown", MatchedPath::as_str);
        let mut digits = [0; 3];
        let status = status_label(self.status, &mut digits);
        self.metrics
            .requests
            .with_label_values(&[route, self.method, status])
            .inc();
        self.metrics
            .seconds
            .with_label_values(&[route, self.method])
            .observe(self.started.elapsed().as_secs_f64());
    }
}

fn status_label(status: u16, digits: &mut [u8; 3]) -> &str {
    for (digit, unit) in digits.iter_mut().zip([100, 10, 1]) {
        *digit = b'0' + u8::try_from(status / unit % 10).unwrap_or(0);
    }
    std::str::from_utf8(digits).unwrap_or("000")
}
