//! The monotonic clock that calls are timed by.

use std::time::Duration;
#[cfg(not(feature = "tsc"))]
use std::time::Instant;

#[cfg(feature = "tsc")]
pub(crate) use tsc::Moment;

/// When something began.
#[cfg(not(feature = "tsc"))]
#[derive(Clone, Copy, Debug)]
pub(crate) struct Moment(Instant);

/// More nanoseconds than anybody waits: 584 years.
pub(crate) const NEVER: u64 = u64::MAX;

// === impl Moment ===

#[cfg(not(feature = "tsc"))]
impl Moment {
    #[inline]
    pub(crate) fn now() -> Self {
        Self(Instant::now())
    }

    /// In nanoseconds.
    #[inline]
    pub(crate) fn elapsed(self) -> u64 {
        nanos(self.0.elapsed())
    }
}

/// At most [`NEVER`].
#[inline]
pub(crate) fn nanos(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(NEVER)
}

/// By how much a time may fall short of what the system's clock says: that is slewed by up to 500
/// millionths, the processor's counter is not.
#[inline]
pub(crate) const fn shortfall(nanos: u64) -> u64 {
    if cfg!(feature = "tsc") {
        nanos / 1_000
    } else {
        0
    }
}

#[cfg(feature = "tsc")]
mod tsc {
    use std::{fs, num::NonZeroU64, sync::LazyLock, time::Instant};

    use super::nanos;

    const CLOCK_SOURCE: &str = "/sys/devices/system/clocksource/clocksource0/current_clocksource";

    /// When something began, from 1 on: in ticks of the processor's counter, or in nanoseconds of
    /// the system's clock.
    #[derive(Clone, Copy, Debug)]
    pub(crate) struct Moment(NonZeroU64);

    enum Clock {
        Counter(quanta::Clock),
        System(Instant),
    }

    /// Whether the counters of all processors go together, at one pace, is more than a program
    /// can find out: the kernel has, if it keeps its own time by them.
    static CLOCK: LazyLock<Clock> = LazyLock::new(|| match fs::read_to_string(CLOCK_SOURCE) {
        Ok(source) if source.trim_end() == "tsc" => Clock::Counter(quanta::Clock::new()),
        _ => Clock::System(Instant::now()),
    });

    // === impl Moment ===

    impl Moment {
        #[inline]
        pub(crate) fn now() -> Self {
            Self(NonZeroU64::MIN.saturating_add(CLOCK.read()))
        }

        /// In nanoseconds.
        #[inline]
        pub(crate) fn elapsed(self) -> u64 {
            let start = self.0.get() - 1;
            match &*CLOCK {
                Clock::Counter(counter) => counter.delta_as_nanos(start, counter.raw()),
                Clock::System(first) => nanos(first.elapsed()).saturating_sub(start),
            }
        }
    }

    // === impl Clock ===

    impl Clock {
        #[inline]
        fn read(&self) -> u64 {
            match self {
                Self::Counter(counter) => counter.raw(),
                Self::System(first) => nanos(first.elapsed()),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, Instant};

    use super::{Moment, nanos, shortfall};

    #[test]
    fn the_clock_agrees_with_that_of_the_system() {
        // The first reading may have to find out how fast the counter is.
        Moment::now();
        let around = Instant::now();
        let moment = Moment::now();
        let within = Instant::now();
        while within.elapsed() < Duration::from_millis(20) {}
        let at_least = nanos(within.elapsed());
        let elapsed = moment.elapsed();
        let at_most = nanos(around.elapsed());
        assert!(
            elapsed >= at_least - shortfall(at_least),
            "{elapsed} {at_least}"
        );
        assert!(
            elapsed <= at_most + shortfall(at_most),
            "{elapsed} {at_most}"
        );
    }
}
