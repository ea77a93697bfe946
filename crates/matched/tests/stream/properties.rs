//! Properties: each call ends as it must, whatever the server does.

use std::time::Duration;

use futures_util::future::join_all;
use proptest::collection::vec;
use proptest::prelude::*;
use tokio::runtime::Builder;
use tokio::time::{Instant, sleep, timeout};
use tonic::{Code, Status};
use vitalmesh_matched::{Matched, Settings};

use crate::server::{Copies, Request, Server, request, slow};

/// A call and the behaviour of its server and caller. Times are in milliseconds: responses come at
/// even ones and callers give up at odd ones, so that no two events coincide.
#[derive(Clone, Debug)]
struct Scenario {
    begin: u64,
    delay: u64,
    copies: Copies,
    deadline: u64,
    dropped: Option<u64>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum End {
    Response(u64),
    Status(Code),
    Dropped,
}

// === impl Scenario ===

impl Scenario {
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

    /// When its caller gives up at the latest.
    fn caller_timeout(&self) -> u64 {
        self.deadline.min(self.dropped.unwrap_or(u64::MAX))
    }

    fn gets_response(&self) -> bool {
        self.copies != Copies::NONE && self.delay < self.caller_timeout()
    }

    fn end(&self, number: u64) -> End {
        match self.dropped {
            _ if self.gets_response() => End::Response(number),
            Some(dropped) if dropped < self.deadline => End::Dropped,
            // Where both end the call in the same millisecond, the deadline is the inner one.
            _ => End::Status(Code::DeadlineExceeded),
        }
    }

    fn unmatched(&self) -> u64 {
        self.copies.count() - u64::from(self.gets_response())
    }

    async fn run(self, number: u64, matched: &Matched<Server>) -> End {
        sleep(Duration::from_millis(self.begin)).await;
        let request = Request {
            copies: self.copies,
            ..slow(number, self.delay)
        };
        let deadline = Instant::now() + Duration::from_millis(self.deadline);
        let call = matched.call_until(request, deadline);
        let dropped = Duration::from_millis(self.dropped.unwrap_or(1_000_000));
        match timeout(dropped, call).await {
            Ok(ended) => End::of(ended.map(|response| response.number)),
            Err(_) => End::Dropped,
        }
    }
}

// === impl End ===

impl End {
    fn of(ended: Result<u64, Status>) -> Self {
        match ended {
            Ok(number) => Self::Response(number),
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

fn limited(max_in_flight: u16) -> Settings {
    Settings {
        max_in_flight,
        ..Settings::default()
    }
}

proptest! {
    #[test]
    fn each_call_ends_by_response_deadline_or_drop_and_other_responses_are_counted(
        scenarios in vec(Scenario::any(), 1..80),
    ) {
        let server = Server::new();
        let matched = server.matched(Settings::default());
        let (ends, stats) = paused(async {
            let calls = scenarios.iter().cloned().zip(0..);
            let calls = calls.map(|(scenario, number)| scenario.run(number, &matched));
            let ends = join_all(calls).await;
            sleep(Duration::from_secs(1)).await;
            (ends, matched.stats())
        });
        let expected: Vec<_> = scenarios.iter().zip(0..).map(|(scenario, number)| scenario.end(number)).collect();
        prop_assert_eq!(ends, expected);
        prop_assert_eq!(stats.unmatched, scenarios.iter().map(Scenario::unmatched).sum::<u64>());
        prop_assert_eq!((stats.in_flight, stats.streams), (0, 1));
    }

    #[test]
    fn calls_in_flight_stay_within_the_limit_and_all_get_responses(
        delays in vec(0_u64..20, 1..100),
        in_flight in 1_u16..12,
    ) {
        let server = Server::new();
        let matched = server.matched(limited(in_flight));
        let results = paused(async {
            let calls = delays.iter().zip(0..).map(|(delay, number)| matched.call(slow(number, *delay)));
            join_all(calls).await
        });
        let numbers: Vec<_> = results.into_iter().map(|result| result.unwrap().number).collect();
        prop_assert_eq!(numbers, Vec::from_iter(0..delays.len() as u64));
        prop_assert_eq!(server.log().max_open, delays.len().min(in_flight.into()));
    }

    #[test]
    fn a_call_on_breaking_streams_gets_a_response_or_unavailable_and_is_sent_at_most_once(
        calls in vec((0_u64..200, 0_u64..20, 0_u8..8), 1..80),
        in_flight in 1_u16..20,
    ) {
        let server = Server::new();
        let matched = server.matched(limited(in_flight));
        let ends = paused(async {
            let run = async |number: u64, (begin, delay, fate): (u64, u64, u8)| {
                sleep(Duration::from_millis(begin)).await;
                let end = (fate == 0).then(|| Some(Status::internal("broken on demand")));
                End::of(matched.call(Request { end, ..slow(number, delay) }).await.map(|response| response.number))
            };
            let ends = join_all(calls.iter().zip(0..).map(|(call, number)| run(number, *call))).await;
            // A stream that broke before its first response delays the next one.
            sleep(Duration::from_secs(5)).await;
            let last = matched.call(request(1000)).await.map(|response| response.number);
            prop_assert_eq!(End::of(last), End::Response(1000));
            Ok(ends)
        })?;
        let unavailable = End::Status(Code::Unavailable);
        for ((end, (.., fate)), number) in ends.iter().zip(&calls).zip(0..) {
            let fine = *end == unavailable || (*fate != 0 && *end == End::Response(number));
            prop_assert!(fine, "call {} ended as {:?}", number, end);
        }
        let log = server.log().clone();
        let mut received = log.received.clone();
        received.sort_unstable();
        received.dedup();
        prop_assert_eq!(received.len(), log.received.len());
        let answered = ends.iter().filter(|end| matches!(end, End::Response(_)));
        prop_assert!(answered.count() < log.received.len());
        prop_assert_eq!(matched.stats().in_flight, 0);
    }
}
