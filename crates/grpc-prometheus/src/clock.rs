//! The monotonic clock that calls are timed by.

use std::{
    num::NonZeroU64,
    sync::LazyLock,
    time::{Duration, Instant},
};

/// A moment, counted from 1 in nanoseconds or in ticks of the processor.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Moment(NonZeroU64);

/// More nanoseconds than anybody waits: 584 years.
pub(crate) const NEVER: u64 = u64::MAX;

static START: LazyLock<Instant> = LazyLock::new(Instant::now);

// === impl Moment ===

impl Moment {
    #[inline]
    pub(crate) fn now() -> Self {
        Self(NonZeroU64::MIN.saturating_add(ticks()))
    }

    /// In nanoseconds.
    #[inline]
    pub(crate) fn elapsed(self) -> u64 {
        nanos_between(self.0.get() - 1, ticks())
    }
}

/// At most [`NEVER`].
pub(crate) fn nanos(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(NEVER)
}

/// Makes the clock ready, so that no call has to.
pub(crate) fn prepare() {
    ticks();
}

#[cfg(not(feature = "tsc"))]
#[inline]
fn ticks() -> u64 {
    nanos(START.elapsed())
}

#[cfg(not(feature = "tsc"))]
#[inline]
fn nanos_between(start: u64, end: u64) -> u64 {
    end.saturating_sub(start)
}

#[cfg(feature = "tsc")]
#[inline]
fn ticks() -> u64 {
    match &*tsc::COUNTER {
        Some(counter) => counter.raw(),
        None => nanos(START.elapsed()),
    }
}

#[cfg(feature = "tsc")]
#[inline]
fn nanos_between(start: u64, end: u64) -> u64 {
    match &*tsc::COUNTER {
        Some(counter) => counter.delta_as_nanos(start, end),
        None => end.saturating_sub(start),
    }
}

#[cfg(feature = "tsc")]
mod tsc {
    use std::{fs, sync::LazyLock};

    const CLOCK_SOURCE: &str = "/sys/devices/system/clocksource/clocksource0/current_clocksource";

    /// Whether the counters of all processors go together, at one pace, is more than a program
    /// can find out: the kernel has, if it keeps its own time by them.
    pub(super) static COUNTER: LazyLock<Option<quanta::Clock>> = LazyLock::new(|| {
        let source = fs::read_to_string(CLOCK_SOURCE).ok()?;
        (source.trim_end() == "tsc").then(quanta::Clock::new)
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_clock_agrees_with_that_of_the_system() {
        prepare();
        let around = Instant::now();
        let moment = Moment::now();
        let within = Instant::now();
        while within.elapsed() < Duration::from_millis(20) {}
        let at_least = nanos(within.elapsed());
        let elapsed = moment.elapsed();
        let at_most = nanos(around.elapsed());
        // The system's clock is slewed by up to 500 millionths, the processor's is not.
        assert!(
            elapsed >= at_least - at_least / 1_000,
            "{elapsed} {at_least}"
        );
        assert!(elapsed <= at_most + at_most / 1_000, "{elapsed} {at_most}");
    }
}
