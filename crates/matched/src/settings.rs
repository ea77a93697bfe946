//! The settings and the statistics of a client.

use std::time::Duration;

/// Settings of a client.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Settings {
    /// Limit of calls in flight; further calls wait. 0 counts as 1. Default 256.
    pub max_in_flight: u16,
    /// Timeout of [`Matched::call`](crate::Matched::call). Default 5 s.
    pub timeout: Duration,
    /// When the next stream opens after one has ended. Default: with the default backoff.
    pub reconnect: Reconnect,
}

/// When the next stream opens after one has ended.
///
/// Streams open when a call needs one. After a stream with a response, the next opens at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reconnect {
    /// Never: every later call fails.
    Never,
    /// After a stream without a response, calls fail at once for a pause: `initial`, doubled with
    /// each further such stream up to `max`. Jitter shortens it by up to a fifth.
    Backoff {
        /// The pause after the first such stream. Default 50 ms.
        initial: Duration,
        /// The longest pause. Default 5 s.
        max: Duration,
    },
}

/// Statistics of a client.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Stats {
    /// Calls in flight now.
    pub in_flight: usize,
    /// Streams opened so far, also those that failed to open.
    pub streams: u64,
    /// Responses so far that no call waited for: late ones, duplicates, and those with unknown ids.
    pub unmatched: u64,
}

// === impl Settings ===

impl Default for Settings {
    fn default() -> Self {
        Self {
            max_in_flight: 256,
            timeout: Duration::from_secs(5),
            reconnect: Reconnect::default(),
        }
    }
}

// === impl Reconnect ===

impl Default for Reconnect {
    fn default() -> Self {
        Self::Backoff {
            initial: Duration::from_millis(50),
            max: Duration::from_secs(5),
        }
    }
}

impl Reconnect {
    /// The pause after `failures` consecutive streams without a response; `None` is forever.
    pub(crate) fn pause(self, failures: u32) -> Option<Duration> {
        match self {
            Self::Never => None,
            Self::Backoff { .. } if failures == 0 => Some(Duration::ZERO),
            Self::Backoff { initial, max } => {
                let doubled = initial.saturating_mul(1 << (failures - 1).min(30)).min(max);
                Some(doubled.mul_f64(1.0 - 0.2 * fastrand::f64()))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_pause_doubles_up_to_its_limit() {
        let millis = Duration::from_millis;
        let backoff = Reconnect::default();
        assert_eq!(backoff.pause(0), Some(Duration::ZERO));
        for (failures, full) in [
            (1, millis(50)),
            (2, millis(100)),
            (7, millis(3200)),
            (8, millis(5000)),
            (u32::MAX, millis(5000)),
        ] {
            let pauses = || (0..200).map(|_| backoff.pause(failures).unwrap());
            assert!(pauses().max().unwrap() <= full, "{failures}");
            assert!(pauses().min().unwrap() >= full.mul_f64(0.8), "{failures}");
            assert!(pauses().max().unwrap() > pauses().min().unwrap());
        }
    }

    #[test]
    fn never_has_no_pause() {
        assert_eq!(Reconnect::Never.pause(0), None);
        assert_eq!(Reconnect::Never.pause(9), None);
    }
}
