//! Trace ids on histogram buckets.

use std::{
    sync::{Mutex, PoisonError},
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use http::{Extensions, HeaderMap, HeaderName};

static TRACEPARENT: HeaderName = HeaderName::from_static("traceparent");

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

    /// The extension, else the W3C `traceparent` header if its sampled flag is set.
    pub(crate) fn find(headers: &HeaderMap, extensions: &Extensions) -> Option<Self> {
        if let Some(id) = extensions.get::<Self>() {
            return Some(*id);
        }
        Self::from_traceparent(headers.get(&TRACEPARENT)?.as_bytes())
    }

    /// `00-{32 hex digits}-{16 hex digits}-{2 hex digits of flags}`
    pub(crate) fn from_traceparent(value: &[u8]) -> Option<Self> {
        let dashes = value.get(2)? == &b'-' && value.get(35)? == &b'-' && value.get(52)? == &b'-';
        let [flags] = hex(value.get(53..)?)?;
        let sampled = flags & 1 == 1;
        let id = hex(value.get(3..35)?)?;
        (dashes && sampled && Self(id) != Self::NONE).then_some(Self(id))
    }
}

/// The first `N` bytes that `digits` spell.
fn hex<const N: usize>(digits: &[u8]) -> Option<[u8; N]> {
    let mut bytes = [0; N];
    for (byte, pair) in bytes.iter_mut().zip(digits.get(..N * 2)?.chunks_exact(2)) {
        let digit = |c: u8| char::from(c).to_digit(16);
        // No truncation: two hex digits are below 256.
        *byte = (digit(pair[0])? * 16 + digit(pair[1])?) as u8;
    }
    Some(bytes)
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_sampled_well_formed_traceparent_has_an_id() {
        let sampled = b"00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
        let id = TraceId::from_traceparent(sampled).unwrap();
        assert_eq!(id.0[..3], [0x0a, 0xf7, 0x65]);
        assert_eq!(id.0[15], 0x9c);
        for bad in [
            &b"00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-00"[..],
            b"00-00000000000000000000000000000000-b7ad6b7169203331-01",
            b"00-0af7651916cd43dd8448eb211c80319g-b7ad6b7169203331-01",
            b"00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-",
            b"00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331",
            b"00 0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
            b"",
        ] {
            assert_eq!(TraceId::from_traceparent(bad), None, "{bad:?}");
        }
    }
}
