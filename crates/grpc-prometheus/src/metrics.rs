//! The metrics of one side, and the way to them.

use std::{sync::Arc, time::Duration};

use http::{Request, header::CONTENT_TYPE};

use crate::{
    Builder, ClientLayer, RequestBody, ServerLayer, call::Call, families::CODES, methods::Table,
    store::Store,
};

/// Metrics of the calls that a server answers: `grpc_server_…`.
///
/// A handle: clones share their series, and so do all registrations on one registry.
#[derive(Clone, Debug)]
pub struct ServerMetrics {
    metrics: Arc<Metrics>,
}

/// Metrics of the calls that a client makes: `grpc_client_…`.
///
/// A handle: clones share their series, and so do all registrations on one registry.
#[derive(Clone, Debug)]
pub struct ClientMetrics {
    metrics: Arc<Metrics>,
}

/// Totals over all methods since the start of the process.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Snapshot {
    /// Calls started.
    pub started: u64,
    /// Calls ended, by gRPC code: `handled[0]` is `OK`, `handled[16]` is `Unauthenticated`.
    pub handled: [u64; 17],
    /// Messages received.
    pub received: u64,
    /// Messages sent.
    pub sent: u64,
    /// Calls per bucket of the handling-time histogram, each with its upper bound (inclusive;
    /// `None` is `+Inf`), not cumulated. Empty if the histogram is off.
    pub buckets: Vec<(Option<Duration>, u64)>,
    /// Sum of the handling times.
    pub handling: Duration,
}

#[derive(Debug)]
pub(crate) struct Metrics {
    pub(crate) store: Arc<Store>,
    pub(crate) table: Table,
}

// === impl ServerMetrics ===

impl ServerMetrics {
    /// Starts a configuration; nothing is required.
    pub fn builder() -> Builder<Self> {
        Builder::default()
    }

    /// A layer that counts the calls of the service it wraps.
    pub fn layer(&self) -> ServerLayer {
        ServerLayer::new(Arc::clone(&self.metrics))
    }

    /// Totals over all methods, without a scrape.
    pub fn snapshot(&self) -> Snapshot {
        Snapshot::take(&self.metrics.store)
    }

    pub(crate) const fn new(metrics: Arc<Metrics>) -> Self {
        Self { metrics }
    }
}

// === impl ClientMetrics ===

impl ClientMetrics {
    /// Starts a configuration; nothing is required.
    pub fn builder() -> Builder<Self> {
        Builder::default()
    }

    /// A layer that counts the calls made through the service it wraps.
    pub fn layer(&self) -> ClientLayer {
        ClientLayer::new(Arc::clone(&self.metrics))
    }

    /// Totals over all methods, without a scrape.
    pub fn snapshot(&self) -> Snapshot {
        Snapshot::take(&self.metrics.store)
    }

    pub(crate) const fn new(metrics: Arc<Metrics>) -> Self {
        Self { metrics }
    }
}

// === impl Snapshot ===

impl Snapshot {
    fn take(store: &Store) -> Self {
        let mut snapshot = Self::default();
        let handling = store.plan.handling();
        let mut nanos = 0;
        let bounds = handling.map(crate::cells::Histogram::bounds);
        if let Some(bounds) = bounds {
            let bounds = bounds.iter().copied().map(Duration::from_nanos);
            snapshot.buckets = bounds.map(Some).chain([None]).map(|b| (b, 0)).collect();
        }
        for method in store.methods().iter() {
            let Some(series) = method.series() else {
                continue;
            };
            let reading = series.read();
            for code in 0..CODES {
                snapshot.handled[code] += reading.handled(code);
            }
            snapshot.started += reading.started();
            snapshot.received += reading.received();
            snapshot.sent += reading.sent();
            let Some(handling) = handling else { continue };
            for slot in 0..handling.slots() {
                let (sum, buckets) = reading.histogram(handling, slot);
                nanos += sum;
                for (total, count) in snapshot.buckets.iter_mut().zip(buckets) {
                    total.1 += count;
                }
            }
        }
        snapshot.handling = Duration::from_nanos(nanos);
        snapshot
    }
}

// === impl Metrics ===

impl Metrics {
    pub(crate) fn start<B>(&self, request: Request<B>) -> (Option<Call>, Request<RequestBody<B>>) {
        let call = self.call(&request);
        let cells = call.as_ref().map(|call| Arc::clone(call.cells()));
        (call, request.map(|body| RequestBody::new(body, cells)))
    }

    fn call<B>(&self, request: &Request<B>) -> Option<Call> {
        let content_type = request.headers().get(CONTENT_TYPE)?;
        if !content_type.as_bytes().starts_with(b"application/grpc") {
            return None;
        }
        let method = self.table.find(request.uri().path())?;
        Some(Call::start(method.cells(), request.headers()))
    }
}
