//! Monotonic time in whole nanoseconds.

use std::time::{Duration, Instant};

/// Exceeds the duration of any call: 584 years.
pub(crate) const NEVER: u64 = u64::MAX;

#[inline]
pub(crate) fn nanos_since(start: Instant) -> u64 {
    nanos(start.elapsed())
}

/// Saturates at [`NEVER`].
#[inline]
pub(crate) fn nanos(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(NEVER)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn elapsed_nanoseconds_lie_between_those_of_an_inner_and_an_outer_measurement() {
        let outer = Instant::now();
        let start = Instant::now();
        let inner = Instant::now();
        while inner.elapsed() < Duration::from_millis(20) {}
        let at_least = inner.elapsed().as_nanos();
        let elapsed = u128::from(nanos_since(start));
        let at_most = outer.elapsed().as_nanos();
        assert!(
            at_least <= elapsed && elapsed <= at_most,
            "{at_least} {elapsed} {at_most}"
        );
    }

    #[test]
    fn a_duration_beyond_the_range_is_never() {
        assert_eq!(nanos(Duration::from_nanos(NEVER - 1)), NEVER - 1);
        assert_eq!(nanos(Duration::MAX), NEVER);
    }
}
