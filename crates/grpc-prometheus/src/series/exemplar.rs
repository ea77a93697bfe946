//! Trace ids on histogram buckets.

use std::{
    sync::{Mutex, PoisonError},
    time::{Duration, SystemTime, UNIX_EPOCH},
};

/// The id of a sampled trace, to be shown beside the bucket its call fell into.
///
/// Put it into the extensions of a request (outside the layer) or of a response (inside); it must
/// be there only if the trace is sampled. See [`Builder::exemplars`](crate::Builder::exemplars).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct TraceId(pub [u8; 16]);

/// The last sampled call of one bucket.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Exemplar {
    pub(crate) trace_id: TraceId,
    pub(crate) nanos: u64,
    /// Since the Unix epoch.
    pub(crate) at: Duration,
}

#[derive(Debug, Default)]
pub(crate) struct Slot(Mutex<Option<Exemplar>>);

// === impl TraceId ===

impl TraceId {
    /// What W3C trace context gives no trace.
    pub(crate) const NONE: Self = Self([0; 16]);
}

// === impl Slot ===

impl Slot {
    /// Never waits: of two calls that end at once one goes unshown.
    pub(crate) fn put(&self, trace_id: TraceId, nanos: u64) {
        let Ok(mut slot) = self.0.try_lock() else {
            return;
        };
        let at = SystemTime::now().duration_since(UNIX_EPOCH);
        *slot = Some(Exemplar {
            trace_id,
            nanos,
            at: at.unwrap_or_default(),
        });
    }

    pub(crate) fn get(&self) -> Option<Exemplar> {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
