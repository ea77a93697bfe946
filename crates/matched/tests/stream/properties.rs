//! Whatever the server does, each call ends as it must.

use std::time::Duration;

use futures_util::future::join_all;
use proptest::collection::vec;
use proptest::prelude::*;
use tokio::runtime::Builder;
use tokio::time::{Instant, sleep, timeout};
use tonic::{Code, Status};
use vitalmesh_matched::{Matched, Settings};

use crate::server::{Ask, Copies, Server, ask, slow};

/// A call, and what its server and its caller do. Times in milliseconds: answers come at even
/// ones, callers end at odd ones, so that no two things happen at once.
#[derive(Clone, Debug)]
struct Plan {
    begin: u64,
    delay: u64,
    copies: Copies,
    deadline: u64,
    dropped: Option<u64>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum End {
    Answer(u64),
    Status(Code),
    Dropped,
}

// === impl Plan ===

impl Plan {
    fn any() -> impl Strategy<Value = Self> {
        let even = || (0_u64..40).prop_map(|at| 2 * at);
        let odd = || (0_u64..40).prop_map(|at| 2 * at + 1);
        let copies = (-1_i64..3).prop_map(Copies);
        (even(), even(), copies, odd(), proptest::option::of(odd())).prop_map(
            |(begin, delay, copies, deadline, dropped)| Self {
                begin,
                delay,
                copies,
                deadline,
                dropped,
            },
        )
    }

    /// How long its caller waits at most.
    fn patience(&self) -> u64 {
        self.deadline.min(self.dropped.unwrap_or(u64::MAX))
    }

    fn is_answered(&self) -> bool {
        self.copies != Copies::NONE && self.delay < self.patience()
    }

    fn end(&self, what: u64) -> End {
        match self.dropped {
            _ if self.is_answered() => End::Answer(what),
            Some(dropped) if dropped < self.deadline => End::Dropped,
            // Both end the call in the same millisecond: the deadline is the inner of the two.
            _ => End::Status(Code::DeadlineExceeded),
        }
    }

    fn unmatched(&self) -> u64 {
        self.copies.count() - u64::from(self.is_answered())
    }

    async fn run(self, what: u64, matched: &Matched<Server>) -> End {
        sleep(Duration::from_millis(self.begin)).await;
        let request = Ask {
            copies: self.copies,
            ..slow(what, self.delay)
        };
        let deadline = Instant::now() + Duration::from_millis(self.deadline);
        let call = matched.call_until(request, deadline);
        let dropped = Duration::from_millis(self.dropped.unwrap_or(1_000_000));
        match timeout(dropped, call).await {
            Ok(ended) => End::of(ended.map(|told| told.what)),
            Err(_) => End::Dropped,
        }
    }
}

// === impl End ===

impl End {
    fn of(ended: Result<u64, Status>) -> Self {
        match ended {
            Ok(what) => Self::Answer(what),
            Err(status) => Self::Status(status.code()),
        }
    }
}

fn paused<T>(work: impl Future<Output = T>) -> T {
    let runtime = Builder::new_current_thread()
        .enable_time()
        .start_paused(true)
        .build();
    runtime.unwrap().block_on(work)
}

fn bound(in_flight: u16) -> Settings {
    Settings {
        in_flight,
        ..Settings::default()
    }
}

proptest! {
    #[test]
    fn each_call_ends_by_its_answer_its_deadline_or_its_drop_and_the_rest_is_counted(
        plans in vec(Plan::any(), 1..80),
    ) {
        let server = Server::new();
        let matched = server.matched(Settings::default());
        let (ends, stats) = paused(async {
            let calls = plans.iter().cloned().zip(0..);
            let calls = calls.map(|(plan, what)| plan.run(what, &matched));
            let ends = join_all(calls).await;
            sleep(Duration::from_secs(1)).await;
            (ends, matched.stats())
        });
        let expected: Vec<_> = plans.iter().zip(0..).map(|(plan, what)| plan.end(what)).collect();
        prop_assert_eq!(ends, expected);
        prop_assert_eq!(stats.unmatched, plans.iter().map(Plan::unmatched).sum::<u64>());
        prop_assert_eq!((stats.in_flight, stats.streams), (0, 1));
    }

    #[test]
    fn no_more_calls_than_the_bound_are_in_flight_and_all_are_answered(
        delays in vec(0_u64..20, 1..100),
        in_flight in 1_u16..12,
    ) {
        let server = Server::new();
        let matched = server.matched(bound(in_flight));
        let told = paused(async {
            let calls = delays.iter().zip(0..).map(|(delay, what)| matched.call(slow(what, *delay)));
            join_all(calls).await
        });
        let told: Vec<_> = told.into_iter().map(|told| told.unwrap().what).collect();
        prop_assert_eq!(told, Vec::from_iter(0..delays.len() as u64));
        prop_assert_eq!(server.log().most, delays.len().min(in_flight.into()));
    }

    #[test]
    fn a_call_on_streams_that_break_is_answered_or_unavailable_and_sent_at_most_once(
        calls in vec((0_u64..200, 0_u64..20, 0_u8..8), 1..80),
        in_flight in 1_u16..20,
    ) {
        let server = Server::new();
        let matched = server.matched(bound(in_flight));
        let ends = paused(async {
            let run = async |what: u64, (begin, delay, fate): (u64, u64, u8)| {
                sleep(Duration::from_millis(begin)).await;
                let end = (fate == 0).then(|| Some(Status::internal("broken on demand")));
                End::of(matched.call(Ask { end, ..slow(what, delay) }).await.map(|told| told.what))
            };
            let ends = join_all(calls.iter().zip(0..).map(|(call, what)| run(what, *call))).await;
            // A stream that broke before its first answer keeps the next away for a while.
            sleep(Duration::from_secs(5)).await;
            let last = matched.call(ask(1000)).await.map(|told| told.what);
            prop_assert_eq!(End::of(last), End::Answer(1000));
            Ok(ends)
        })?;
        let unavailable = End::Status(Code::Unavailable);
        for ((end, (.., fate)), what) in ends.iter().zip(&calls).zip(0..) {
            let fine = *end == unavailable || (*fate != 0 && *end == End::Answer(what));
            prop_assert!(fine, "call {} ended as {:?}", what, end);
        }
        let log = server.log().clone();
        let mut seen = log.seen.clone();
        seen.sort_unstable();
        seen.dedup();
        prop_assert_eq!(seen.len(), log.seen.len());
        let answered = ends.iter().filter(|end| matches!(end, End::Answer(_)));
        prop_assert!(answered.count() < log.seen.len());
        prop_assert_eq!(matched.stats().in_flight, 0);
    }
}
