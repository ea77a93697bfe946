//! The load of the tour: requests to the edge at a given rate, some of them for faults on demand.

use std::convert::Infallible;
use std::fmt;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::sync::watch;
use tokio::task::JoinSet;

use super::api::get;

/// Limit of concurrent requests.
const MAX_CONCURRENT: usize = 32;

/// The rate of requests and the share of faults.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct LoadProfile {
    pub(super) calls_per_second: u32,
    /// Of ten requests, this many are for a fault.
    pub(super) faults_in_ten: u64,
}

/// Requests by their outcome.
#[derive(Debug, Default)]
pub(super) struct CallCounts {
    succeeded: AtomicU64,
    faults: AtomicU64,
    lost: AtomicU64,
}

/// The load. Dropping it stops it.
pub(super) struct Load {
    edge: SocketAddr,
    profile: watch::Receiver<LoadProfile>,
    counts: Arc<CallCounts>,
}

// === impl LoadProfile ===

impl LoadProfile {
    pub(super) const IDLE: Self = Self {
        calls_per_second: 0,
        faults_in_ten: 0,
    };

    /// The path of the `index`th request. Faults are spread evenly.
    const fn path(self, index: u64) -> &'static str {
        match index * 3 % 10 < self.faults_in_ten {
            true => "/proxy/internal",
            false => "/proxy/Ana",
        }
    }
}

// === impl CallCounts ===

impl CallCounts {
    fn count(&self, status: Option<u16>) {
        let counter = match status {
            Some(200) => &self.succeeded,
            Some(_) => &self.faults,
            None => &self.lost,
        };
        counter.fetch_add(1, Ordering::Relaxed);
    }
}

impl fmt::Display for CallCounts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        let [succeeded, faults, lost] = [&self.succeeded, &self.faults, &self.lost].map(read);
        write!(f, "{} calls, {faults} of them faults", succeeded + faults)?;
        match lost {
            0 => Ok(()),
            lost => write!(f, ", and {lost} without a response"),
        }
    }
}

// === impl Load ===

impl Load {
    /// An idle load, and the sender of its profile.
    pub(super) fn new(
        edge: SocketAddr,
        counts: Arc<CallCounts>,
    ) -> (Self, watch::Sender<LoadProfile>) {
        let (sender, profile) = watch::channel(LoadProfile::IDLE);
        (
            Self {
                edge,
                profile,
                counts,
            },
            sender,
        )
    }

    /// Sends requests, at most [`MAX_CONCURRENT`] at a time: a slow mesh gets less load.
    pub(super) async fn run(mut self) -> Infallible {
        let mut calls = JoinSet::new();
        let mut index = 0;
        loop {
            let profile = *self.profile.borrow_and_update();
            if profile == LoadProfile::IDLE {
                if self.profile.changed().await.is_err() {
                    return std::future::pending().await;
                }
                continue;
            }
            tokio::time::sleep(Duration::from_secs(1) / profile.calls_per_second).await;
            while calls.try_join_next().is_some() {}
            if calls.len() >= MAX_CONCURRENT {
                calls.join_next().await;
            }
            let (edge, counts) = (self.edge, Arc::clone(&self.counts));
            calls.spawn(async move {
                let response = get(edge, profile.path(index)).await;
                counts.count(response.ok().map(|(status, _)| status));
            });
            index += 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn faults_are_three_in_ten_and_never_consecutive() {
        let profile = LoadProfile {
            calls_per_second: 1,
            faults_in_ten: 3,
        };
        let fails: Vec<_> = (0..20)
            .map(|index| profile.path(index) == "/proxy/internal")
            .collect();
        assert_eq!(fails.iter().filter(|fails| **fails).count(), 6);
        assert!(!fails.windows(2).any(|pair| pair == [true, true]));
    }

    #[test]
    fn lost_calls_are_mentioned_only_where_there_are_some() {
        let counts = CallCounts::default();
        for status in [Some(200), Some(200), Some(500)] {
            counts.count(status);
        }
        assert_eq!(counts.to_string(), "3 calls, 1 of them faults");
        counts.count(None);
        let expected = "3 calls, 1 of them faults, and 1 without a response";
        assert_eq!(counts.to_string(), expected);
    }
}
