//! The HTTP metrics of a service's routes: each request by its matched route, method and status.

use std::task::{Context, Poll};
use std::time::Instant;

use axum::extract::MatchedPath;
use http::{Method, Request, Response};
use http_body::Body;
use prometheus::{HistogramOpts, HistogramVec, IntCounterVec, Opts, Registry};
use tower::{Layer, Service};

use crate::stack::observed::{ObservedBody, ObservedFuture, Observer};

/// Seconds. Finer than the crate's default below 5 ms, where a REST call over a local mesh ends.
const BUCKETS: [f64; 16] = [
    0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5,
    5.0, 10.0,
];
/// The status of a request whose client left before the answer.
pub(crate) const CLIENT_CLOSED: u16 = 499;

/// Counts requests by matched route, so that no client makes a new series.
#[derive(Clone, Debug)]
pub(crate) struct HttpMetrics {
    // The label sets are our own routes, a closed set of methods and status codes, so that the
    // unchecked hash behind these types cannot meet two that collide by somebody's design.
    requests: IntCounterVec,
    seconds: HistogramVec,
}

/// The service that [`HttpMetrics`] makes.
#[derive(Clone, Debug)]
pub(crate) struct Counted<S> {
    inner: S,
    metrics: HttpMetrics,
}

/// One request, recorded once when it is dropped: at the end of its body or before.
#[derive(Debug)]
pub(crate) struct HttpCall {
    metrics: HttpMetrics,
    route: Option<MatchedPath>,
    method: &'static str,
    status: u16,
    begun: Instant,
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

    /// Makes the series of a route, at 0.
    pub(super) fn begin(&self, route: &str, method: &Method, answers: impl Iterator<Item = u16>) {
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
            status: CLIENT_CLOSED,
            begun: Instant::now(),
        };
        ObservedFuture::new(self.inner.call(request), Some(Box::new(call)))
    }
}

// === impl HttpCall ===

impl Observer for HttpCall {
    fn head<B>(&mut self, response: &mut Response<B>) {
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
            .observe(self.begun.elapsed().as_secs_f64());
    }
}

/// The registered methods by name; whatever else a client invents is `other`.
pub(crate) fn method_label(method: &Method) -> &'static str {
    match *method {
        Method::GET => "GET",
        Method::HEAD => "HEAD",
        Method::POST => "POST",
        Method::PUT => "PUT",
        Method::PATCH => "PATCH",
        Method::DELETE => "DELETE",
        Method::OPTIONS => "OPTIONS",
        Method::CONNECT => "CONNECT",
        Method::TRACE => "TRACE",
        _ => "other",
    }
}

fn status_label(status: u16, digits: &mut [u8; 3]) -> &str {
    for (digit, unit) in digits.iter_mut().zip([100, 10, 1]) {
        *digit = b'0' + u8::try_from(status / unit % 10).unwrap_or(0);
    }
    std::str::from_utf8(digits).unwrap_or("000")
}
