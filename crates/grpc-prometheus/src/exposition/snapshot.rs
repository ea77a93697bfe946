//! Totals of a store, without a scrape.

use std::time::Duration;

use crate::series::{Family, Histogram, Reading, Store};

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

// === impl Snapshot ===

impl Snapshot {
    pub(crate) fn take(store: &Store) -> Self {
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
