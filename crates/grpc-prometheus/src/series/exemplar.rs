//! Exemplars: the trace of the last sampled call of each bucket.

use std::{
    sync::{Mutex, PoisonError},
    time::{Duration, SystemTime, UNIX_EPOCH},
};

/// The id of a sampled trace, for exemplars.
///
/// Insert it into the extensions of a request outside the layer, or of a response inside it, and
/// only if the trace is sampled. See [`Builder::exemplars`](crate::Builder::exemplars).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct TraceId(pub [u8; 16]);

/// The last sampled call of a bucket.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Exemplar {
    pub(crate) trace_id: TraceId,
    pub(crate) nanos: u64,
    /// Time since the Unix epoch.
    pub(crate) at: Duration,
}

#[derive(Debug, Default)]
pub(crate) struct LatestExemplar(Mutex<Option<Exemplar>>);

// === impl TraceId ===

impl TraceId {
    /// The all-zero id, which W3C trace context forbids.
    pub(crate) const NONE: Self = Self([0; 16]);
}

// === impl LatestExemplar ===

impl LatestExemplar {
    /// Does not block: if two calls end at once, one is dropped.
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
