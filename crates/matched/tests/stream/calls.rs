//! Calls on a stream that does not end: responses, deadlines, cancels and limits.

use std::time::Duration;

use futures_util::future::{Either, join_all, select};
use tokio::task::{JoinSet, yield_now};
use tokio::time::{Instant, sleep};
use tonic::{Code, Status};
use vitalmesh_matched::{Settings, Stats};

use crate::server::{Copies, Request, Server, request, slow};

fn limited(max_in_flight: u16) -> Settings {
    Settings {
        max_in_flight,
        ..Settings::default()
    }
}

fn code_and_message(status: &Status) -> (Code, &str) {
    (status.code(), status.message())
}

/// Runs every task that does not wait for the clock.
async fn run_ready_tasks() {
    for _ in 0..100 {
        yield_now().await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_hundred_callers_get_their_own_responses_in_any_order_over_one_stream() {
    let server = Server::new();
    let matched = server.matched(Settings::default());
    let begun = Instant::now();
    let calls = (0..100).map(|number| matched.call(slow(number, 1000 - number)));
    let results = join_all(calls).await;
    let numbers: Vec<_> = results
        .into_iter()
        .map(|result| result.unwrap().number)
        .collect();
    assert_eq!(numbers, Vec::from_iter(0..100));
    assert_eq!(begun.elapsed().as_millis(), 1000);
    assert_eq!(server.log().streams, 1);
    assert_eq!(server.log().max_open, 100);
    let mut ids = server.log().ids.clone();
    ids.sort_unstable();
    ids.dedup();
    assert_eq!(ids.len(), 100);
    assert!(!ids.contains(&0));
}

#[tokio::test(start_paused = true)]
async fn a_call_ends_at_its_deadline_and_its_late_response_is_counted() {
    let server = Server::new();
    let matched = server.matched(limited(1));
    let begun = Instant::now();
    let deadline = begun + Duration::from_millis(30);
    let status = matched.call_until(slow(1, 40), deadline).await.unwrap_err();
    let late = "no response before the deadline";
    assert_eq!(code_and_message(&status), (Code::DeadlineExceeded, late));
    assert_eq!(begun.elapsed().as_millis(), 30);
    // The next call has the same slot and waits while the late response arrives.
    assert_eq!(matched.call(slow(2, 50)).await.unwrap().number, 2);
    let expected = Stats {
        in_flight: 0,
        streams: 1,
        unmatched: 1,
    };
    assert_eq!(matched.stats(), expected);
}

#[tokio::test(start_paused = true)]
async fn a_call_without_a_deadline_has_the_timeout_of_the_settings() {
    let matched = Server::new().matched(Settings {
        timeout: Duration::from_millis(70),
        ..Settings::default()
    });
    let begun = Instant::now();
    let status = matched.call(slow(1, 1000)).await.unwrap_err();
    assert_eq!(status.code(), Code::DeadlineExceeded);
    assert_eq!(begun.elapsed().as_millis(), 70);
}

#[tokio::test(start_paused = true)]
async fn a_call_after_its_deadline_does_not_begin() {
    let server = Server::new();
    let matched = server.matched(Settings::default());
    let status = matched
        .call_until(request(1), Instant::now())
        .await
        .unwrap_err();
    let late = "the deadline passed before the call began";
    assert_eq!(code_and_message(&status), (Code::DeadlineExceeded, late));
    run_ready_tasks().await;
    assert_eq!(server.log().streams, 0);
}

#[tokio::test(start_paused = true)]
async fn a_dropped_call_frees_its_slot_at_once() {
    let server = Server::new();
    let matched = server.matched(limited(1));
    let hanging = Box::pin(matched.call(slow(1, 3_600_000)));
    let pause = Box::pin(sleep(Duration::from_millis(1)));
    let Either::Right((_, hanging)) = select(hanging, pause).await else {
        panic!("the response came an hour early");
    };
    assert_eq!(matched.stats().in_flight, 1);
    drop(hanging);
    assert_eq!(matched.stats().in_flight, 0);
    let begun = Instant::now();
    assert_eq!(matched.call(request(2)).await.unwrap().number, 2);
    assert_eq!(begun.elapsed(), Duration::ZERO);
}

#[tokio::test(start_paused = true)]
async fn a_call_that_is_dropped_before_it_is_sent_is_never_sent() {
    let server = Server::paused();
    let matched = server.matched(Settings::default());
    let deadline = Instant::now() + Duration::from_millis(1);
    let status = matched.call_until(request(1), deadline).await.unwrap_err();
    assert_eq!(status.code(), Code::DeadlineExceeded);
    server.read();
    assert_eq!(matched.call(request(2)).await.unwrap().number, 2);
    assert_eq!(server.log().received, [2]);
}

#[tokio::test(start_paused = true)]
async fn calls_up_to_the_limit_begin_at_once_and_further_ones_wait() {
    let server = Server::new();
    let matched = server.matched(limited(3));
    let begun = Instant::now();
    let calls = (0..5).map(|number| {
        let call = matched.call(slow(number, 10));
        async move { (call.await.unwrap().number, begun.elapsed().as_millis()) }
    });
    let ended = join_all(calls).await;
    assert_eq!(ended, [(0, 10), (1, 10), (2, 10), (3, 20), (4, 20)]);
    assert_eq!(server.log().max_open, 3);
}

#[tokio::test(start_paused = true)]
async fn a_call_waits_for_its_turn_until_its_deadline() {
    let server = Server::new();
    let matched = server.matched(limited(1));
    let begun = Instant::now();
    let deadline = begun + Duration::from_millis(10);
    let (first, second) = tokio::join!(
        matched.call(slow(1, 20)),
        matched.call_until(request(2), deadline),
    );
    assert_eq!(first.unwrap().number, 1);
    let status = second.unwrap_err();
    let full = "too many calls in flight until the deadline";
    assert_eq!(code_and_message(&status), (Code::DeadlineExceeded, full));
    assert_eq!(server.log().received, [1]);
}

#[tokio::test(start_paused = true)]
async fn a_limit_of_zero_counts_as_one() {
    let server = Server::new();
    let matched = server.matched(limited(0));
    let calls = (0..3).map(|number| matched.call(slow(number, 1)));
    assert!(join_all(calls).await.iter().all(Result::is_ok));
    assert_eq!(server.log().max_open, 1);
}

#[tokio::test(start_paused = true)]
async fn the_largest_limit_is_reached_and_not_exceeded() {
    let server = Server::new();
    let matched = server.matched(limited(u16::MAX));
    let mut calls = JoinSet::new();
    for number in 0..65_536 {
        let matched = matched.clone();
        calls.spawn(async move { matched.call(slow(number, 10)).await.is_ok() });
    }
    assert!(calls.join_all().await.into_iter().all(|is_ok| is_ok));
    assert_eq!(server.log().max_open, 65_535);
}

#[tokio::test(start_paused = true)]
async fn a_failure_in_a_response_fails_its_call_alone() {
    let matched = Server::new().matched(Settings::default());
    let (failed, fine) = tokio::join!(matched.call(request(u64::MAX)), matched.call(request(1)));
    let status = failed.unwrap_err();
    assert_eq!(
        code_and_message(&status),
        (Code::OutOfRange, "failed by its response")
    );
    assert_eq!(fine.unwrap().number, 1);
}

#[tokio::test(start_paused = true)]
async fn duplicates_and_unknown_ids_are_counted() {
    let server = Server::new();
    let matched = server.matched(Settings::default());
    let twice = Request {
        copies: Copies(1),
        ..request(1)
    };
    assert_eq!(matched.call(twice).await.unwrap().number, 1);
    let deadline = Instant::now() + Duration::from_millis(1);
    for id in [0, 1, 5, 1 << 16 | 7, u64::MAX] {
        let misdirected = Request {
            response_id: Some(id),
            ..request(2)
        };
        let status = matched.call_until(misdirected, deadline + Duration::from_millis(id % 1000));
        assert_eq!(status.await.unwrap_err().code(), Code::DeadlineExceeded);
    }
    assert_eq!(matched.stats().unmatched, 6);
}
