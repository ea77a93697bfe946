//! What can be chosen of a matched stream, and what it tells of itself.

use std::time::Duration;

/// The bounds of a matched stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Settings {
    /// How many calls are in flight at most; more wait. 0 counts as 1. Default 256.
    pub in_flight: u16,
    /// How long a call takes at most that says nothing else. Default 5 s.
    pub timeout: Duration,
    /// What comes after a stream that ended. Default: another one, with the default backoff.
    pub reconnect: Reconnect,
}

/// What comes after a stream that ended.
///
/// A stream is opened when a call needs it, never for its own sake. After a stream that answered
/// something the next is opened at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reconnect {
    /// Nothing: every call from then on fails.
    Never,
    /// After a stream that answered nothing, calls fail at once for a while: `first`, doubled with
    /// each such stream in a row up to `most`, and up to a fifth less so that clients spread.
    Backoff {
        /// After the first stream that answered nothing. Default 50 ms.
        first: Duration,
        /// After many of them. Default 5 s.
        most: Duration,
    },
}

/// What has happened on a matched stream so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Stats {
    /// Calls that hold a slot now.
    pub in_flight: usize,
    /// Streams opened, those that failed to open included.
    pub streams: u64,
    /// Answers that no call waited for: late ones, duplicates, and ids that were never given.
    pub unmatched: u64,
}

// === impl Settings ===

impl Default for Settings {
    fn default() -> Self {
        Self {
            in_flight: 256,
            timeout: Duration::from_secs(5),
            reconnect: Reconnect::default(),
        }
    }
}

// === impl Reconnect ===

impl Default for Reconnect {
    fn default() -> Self {
        Self::Backoff {
            first: Duration::from_millis(50),
            most: Duration::from_secs(5),
        }
    }
}

impl Reconnect {
    /// How long nothing is opened after this many streams in a row that answered nothing; `None`
    /// is for ever.
    pub(crate) fn pause(self, failures: u32) -> Option<Duration> {
        match self {
            Self::Never => None,
            Self::Backoff { .. } if failures == 0 => Some(Duration::ZERO),
            Self::Backoff { first, most } => {
                let doubled = first.saturating_mul(1 << (failures - 1).min(30)).min(most);
                Some(doubled.mul_f64(1.0 - 0.2 * fastrand::f64()))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_pause_doubles_to_its_bound_and_no_further() {
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
    fn never_is_for_ever() {
        assert_eq!(Reconnect::Never.pause(0), None);
        assert_eq!(Reconnect::Never.pause(9), None);
    }
}
