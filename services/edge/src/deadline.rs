//! When an instance is late, and when it is forgotten.

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};

/// The interval of an instance that announces none, and is not expected with another.
pub(crate) const DEFAULT_INTERVAL: Duration = Duration::from_secs(10);
/// An instance is late this many intervals after its last beat.
pub(crate) const INTERVALS_UNTIL_LATE: u32 = 3;

/// Whether nothing has come for more than three intervals since `since`.
pub(crate) fn is_late(since: Timestamp, interval: Duration, now: Timestamp) -> bool {
    is_silent_for(since, until_late(interval), now)
}

/// Whether more than `limit` has passed since `since`.
pub(crate) fn is_silent_for(since: Timestamp, limit: Duration, now: Timestamp) -> bool {
    elapsed(since, now) > limit
}

pub(crate) const fn until_late(interval: Duration) -> Duration {
    interval.saturating_mul(INTERVALS_UNTIL_LATE)
}

/// Zero where the clock was set back.
pub(crate) fn elapsed(since: Timestamp, now: Timestamp) -> Duration {
    let elapsed: SignedDuration = now.duration_since(since);
    elapsed.try_into().unwrap_or(Duration::ZERO)
}
