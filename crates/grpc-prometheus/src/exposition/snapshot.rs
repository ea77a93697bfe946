//! Totals over all methods, without a scrape.

use std::time::Duration;

use crate::series::{Histograms, Reading, Store};

/// Totals over all methods since the start of the process.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Snapshot {
    /// Calls started.
    pub started: u64,
    /// Calls handled, by gRPC code: `handled[0]` is `OK`, `handled[16]` is `Unauthenticated`.
    pub handled: [u64; 17],
    /// Calls in flight: per series, never more than were open at one moment.
    pub in_flight: u64,
    /// Messages received.
    pub received: u64,
    /// Messages sent.
    pub sent: u64,
    /// Calls per bucket of the handling-time histogram, not cumulative, each with its inclusive
    /// upper bound; `None` is `+Inf`. Empty without that histogram.
    pub buckets: Vec<(Option<Duration>, u64)>,
    /// Sum of all handling times.
    pub handling: Duration,
}

// === impl Snapshot ===

impl Snapshot {
    pub(crate) fn take(store: &Store) -> Self {
        let mut snapshot = Self::default();
        let handling = store.schema.layout.handling.as_ref();
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

    fn add(&mut self, reading: &Reading, handling: Option<&Histograms>) {
        self.started += reading.started();
        self.in_flight += reading.in_flight();
        self.received += reading.received();
        self.sent += reading.sent();
        for (code, total) in self.handled.iter_mut().enumerate() {
            *total += reading.handled(code);
        }
        let Some(handling) = handling else { return };
        let (nanos, cells) = reading.histogram(handling, 0..handling.count());
        self.handling += Duration::from_nanos(nanos);
        let buckets = handling.buckets_of(cells);
        for ((_, total), count) in self.buckets.iter_mut().zip(&*buckets) {
            *total += count;
        }
    }
}
