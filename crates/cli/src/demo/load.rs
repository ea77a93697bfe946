//! The load of the tour: calls of the edge's REST API at a set pace, some of them faults on demand.

use std::convert::Infallible;
use std::fmt;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::sync::watch;
use tokio::task::JoinSet;

use super::api::get;

/// More than these would only wait for each other.
const AT_ONCE: usize = 32;

/// How much, and how much of it fails.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Plan {
    pub(super) calls_per_second: u32,
    /// Of ten calls, this many ask for a fault.
    pub(super) faults_in_ten: u64,
}

/// What became of the calls.
#[derive(Debug, Default)]
pub(super) struct Tally {
    answered: AtomicU64,
    faults: AtomicU64,
    lost: AtomicU64,
}

/// The load until it is dropped.
pub(super) struct Load {
    edge: SocketAddr,
    plan: watch::Receiver<Plan>,
    tally: Arc<Tally>,
}

// === impl Plan ===

impl Plan {
    pub(super) const NOTHING: Self = Self {
        calls_per_second: 0,
        faults_in_ten: 0,
    };

    /// The path of the `turn`th call: faults are spread evenly.
    const fn path(self, turn: u64) -> &'static str {
        match turn * 3 % 10 < self.faults_in_ten {
            true => "/proxy/internal",
            false => "/proxy/Ana",
        }
    }
}

// === impl Tally ===

impl Tally {
    fn count(&self, status: Option<u16>) {
        let counter = match status {
            Some(200) => &self.answered,
            Some(_) => &self.faults,
            None => &self.lost,
        };
        counter.fetch_add(1, Ordering::Relaxed);
    }
}

impl fmt::Display for Tally {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        let [answered, faults, lost] = [&self.answered, &self.faults, &self.lost].map(read);
        write!(f, "{} calls, {faults} of them faults", answered + faults)?;
        match lost {
            0 => Ok(()),
            lost => write!(f, ", and {lost} without an answer"),
        }
    }
}

// === impl Load ===

impl Load {
    /// A load that does nothing until it is given a plan.
    pub(super) fn new(edge: SocketAddr, tally: Arc<Tally>) -> (Self, watch::Sender<Plan>) {
        let (sender, plan) = watch::channel(Plan::NOTHING);
        (Self { edge, plan, tally }, sender)
    }

    /// Calls, at most [`AT_ONCE`] at a time: a slow mesh gets less load, not more.
    pub(super) async fn run(mut self) -> Infallible {
        let mut calls = JoinSet::new();
        let mut turn = 0;
        loop {
            let plan = *self.plan.borrow_and_update();
            if plan == Plan::NOTHING {
                if self.plan.changed().await.is_err() {
                    return std::future::pending().await;
                }
                continue;
            }
            tokio::time::sleep(Duration::from_secs(1) / plan.calls_per_second).await;
            while calls.try_join_next().is_some() {}
            if calls.len() >= AT_ONCE {
                calls.join_next().await;
            }
            let (edge, tally) = (self.edge, Arc::clone(&self.tally));
            calls.spawn(async move {
                let answer = get(edge, plan.path(turn)).await;
                tally.count(answer.ok().map(|(status, _)| status));
            });
            turn += 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn faults_are_three_in_ten_and_never_follow_each_other() {
        let plan = Plan {
            calls_per_second: 1,
            faults_in_ten: 3,
        };
        let fails: Vec<_> = (0..20)
            .map(|turn| plan.path(turn) == "/proxy/internal")
            .collect();
        assert_eq!(fails.iter().filter(|fails| **fails).count(), 6);
        assert!(!fails.windows(2).any(|pair| pair == [true, true]));
    }

    #[test]
    fn a_tally_tells_lost_calls_only_where_there_are() {
        let tally = Tally::default();
        for status in [Some(200), Some(200), Some(500)] {
            tally.count(status);
        }
        assert_eq!(tally.to_string(), "3 calls, 1 of them faults");
        tally.count(None);
        let expected = "3 calls, 1 of them faults, and 1 without an answer";
        assert_eq!(tally.to_string(), expected);
    }
}
