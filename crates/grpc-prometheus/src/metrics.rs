//! The metrics of one side, and the way to them.

use std::{fmt, sync::Arc, time::Duration};

use http::{Request, header::CONTENT_TYPE};

use crate::{
    Builder, ClientLayer, Connection, MethodHandle, ResetFlag, ServerLayer,
    call::{Call, Open},
    cells::{Reading, Series},
    connections::Connections,
    families::{Family, Side},
    handle::Resolve,
    headers,
    layer::Hooks,
    layout::Histogram,
    methods::Table,
    store::Store,
};

/// Metrics of the calls that a server answers: `grpc_server_…`.
///
/// A handle: clones share their series, and so do all registrations on one registry.
#[derive(Clone, Debug)]
pub struct ServerMetrics {
    metrics: &'static Metrics,
}

/// Metrics of the calls that a client makes: `grpc_client_…`.
///
/// A handle: clones share their series, and so do all registrations on one registry.
#[derive(Clone, Debug)]
pub struct ClientMetrics {
    metrics: &'static Metrics,
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
        ServerLayer::new(self.metrics)
    }

    /// Looks up the method of a request path, for [`ServerLayer::resolved_by`].
    ///
    /// A method that is excluded has a handle too: its calls are not counted. `None` for every
    /// path whose calls count as `unknown`.
    pub fn method(&self, path: &str) -> Option<MethodHandle> {
        MethodHandle::find(self.metrics, path)
    }

    /// Totals over all methods, without a scrape.
    pub fn snapshot(&self) -> Snapshot {
        Snapshot::take(&self.metrics.store)
    }

    /// Counts a connection until the value is dropped: `grpc_server_connections` and its
    /// `_opened_total` and `_closed_total`, which are there from the first use of this.
    pub fn connection<IO>(&self, io: IO) -> Connection<IO> {
        let connections = &self.metrics.store.connections;
        let connections = connections.get_or_init(|| Arc::new(Connections::default()));
        Connection::new(Arc::clone(connections), io)
    }

    pub(crate) const fn new(metrics: &'static Metrics) -> Self {
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
        ClientLayer::new(self.metrics)
    }

    /// Totals over all methods, without a scrape.
    pub fn snapshot(&self) -> Snapshot {
        Snapshot::take(&self.metrics.store)
    }

    pub(crate) const fn new(metrics: &'static Metrics) -> Self {
        Self { metrics }
    }
}

// === impl Snapshot ===

impl Snapshot {
    fn take(store: &Store) -> Self {
        let mut snapshot = Self::default();
        let handling = store.plan.histogram(Family::Handling);
        if let Some(handling) = handling {
            let bounds = handling.bounds().units().iter().copied();
            let bounds = bounds.map(|nanos| Some(Duration::from_nanos(nanos)));
            snapshot.buckets = bounds.chain([None]).map(|bound| (bound, 0)).collect();
        }
        for method in store.methods().values() {
            for (_, series) in method.existing() {
                snapshot.add(&series.read(), handling);
            }
        }
        snapshot
    }

    fn add(&mut self, reading: &Reading, handling: Option<&Histogram>) {
        self.started += reading.started();
        self.received += reading.received();
        self.sent += reading.sent();
        for (code, total) in self.handled.iter_mut().enumerate() {
            *total += reading.handled(code);
        }
        let Some(handling) = handling else { return };
        for slot in 0..handling.slots() {
            let (nanos, buckets) = reading.histogram(handling, slot);
            self.handling += Duration::from_nanos(nanos);
            for ((_, total), count) in self.buckets.iter_mut().zip(buckets) {
                *total += count;
            }
        }
    }
}

// === impl Metrics ===

impl Metrics {
    /// Starts the call of this request, unless it is not to be counted.
    #[inline]
    pub(crate) fn start<B>(&self, request: &mut Request<B>, hooks: Hooks) -> Open {
        let content_type = headers::get(request.headers(), &CONTENT_TYPE);
        let content_type = content_type.map_or(&[][..], |value| value.as_bytes());
        if !content_type.starts_with(b"application/grpc") {
            return Open::new(None, None);
        }
        // Base64 hides the messages and the status: see the README on grpc-web.
        let series = match content_type.starts_with(b"application/grpc-web-text") {
            true => None,
            false => self.series(request, hooks),
        };
        let call = series.map(|series| Call::start(series, request));
        let served = call.is_some_and(|call| call.series.side == Side::Server);
        let reset = (served || hooks.share_reset.is_some()).then(ResetFlag::open);
        if let (Some(share), Some(reset)) = (hooks.share_reset, reset) {
            share(request.extensions_mut(), reset);
        }
        Open::new(call, reset)
    }

    #[inline]
    fn series<B>(&self, request: &Request<B>, hooks: Hooks) -> Option<&'static Series> {
        let resolve = |resolve: Resolve| resolve(request.extensions())?.entry_in(self);
        match hooks.resolve.and_then(resolve) {
            Some(entry) => entry.series(request),
            None => self.table.find(request),
        }
    }
}

/// Not the series: whoever shows a type with a layer in it would show thousands of numbers.
impl fmt::Debug for Metrics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Metrics")
            .field("side", &self.store.plan.config.side)
            .field("namespace", &self.store.plan.config.namespace)
            .finish_non_exhaustive()
    }
}
