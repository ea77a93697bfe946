//! Calls on a stream that holds: their answers, deadlines, cancels and bounds.

use std::time::Duration;

use futures_util::future::{Either, join_all, select};
use tokio::task::{JoinSet, yield_now};
use tokio::time::{Instant, sleep};
use tonic::{Code, Status};
use vitalmesh_matched::{Settings, Stats};

use crate::server::{Ask, Copies, Server, ask, slow};

fn bound(in_flight: u16) -> Settings {
    Settings {
        in_flight,
        ..Settings::default()
    }
}

fn said(status: &Status) -> (Code, &str) {
    (status.code(), status.message())
}

/// Lets everything run that does not wait for the clock.
async fn settle() {
    for _ in 0..100 {
        yield_now().await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_hundred_callers_get_their_own_answers_in_any_order_over_one_stream() {
    let server = Server::new();
    let matched = server.matched(Settings::default());
    let begun = Instant::now();
    let calls = (0..100).map(|what| matched.call(slow(what, 1000 - what)));
    let answers = join_all(calls).await;
    let told: Vec<_> = answers.into_iter().map(|told| told.unwrap().what).collect();
    assert_eq!(told, Vec::from_iter(0..100));
    assert_eq!(begun.elapsed().as_millis(), 1000);
    assert_eq!(server.log().streams, 1);
    assert_eq!(server.log().most, 100);
    let mut ids = server.log().ids.clone();
    ids.sort_unstable();
    ids.dedup();
    assert_eq!(ids.len(), 100);
    assert!(!ids.contains(&0));
}

#[tokio::test(start_paused = true)]
async fn a_call_ends_at_its_deadline_and_its_late_answer_is_counted_and_goes_to_nobody() {
    let server = Server::new();
    let matched = server.matched(bound(1));
    let begun = Instant::now();
    let deadline = begun + Duration::from_millis(30);
    let status = matched.call_until(slow(1, 40), deadline).await.unwrap_err();
    let late = "no answer came until the deadline";
    assert_eq!(said(&status), (Code::DeadlineExceeded, late));
    assert_eq!(begun.elapsed().as_millis(), 30);
    // The next call has the same slot, and waits while the late answer comes.
    assert_eq!(matched.call(slow(2, 50)).await.unwrap().what, 2);
    let expected = Stats {
        in_flight: 0,
        streams: 1,
        unmatched: 1,
    };
    assert_eq!(matched.stats(), expected);
}

#[tokio::test(start_paused = true)]
async fn a_call_that_says_nothing_else_has_the_time_of_the_settings() {
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
async fn a_call_that_comes_too_late_is_not_begun() {
    let server = Server::new();
    let matched = server.matched(Settings::default());
    let status = matched
        .call_until(ask(1), Instant::now())
        .await
        .unwrap_err();
    let late = "the deadline passed before the call was begun";
    assert_eq!(said(&status), (Code::DeadlineExceeded, late));
    settle().await;
    assert_eq!(server.log().streams, 0);
}

#[tokio::test(start_paused = true)]
async fn a_dropped_call_frees_its_room_at_once() {
    let server = Server::new();
    let matched = server.matched(bound(1));
    let hanging = Box::pin(matched.call(slow(1, 3_600_000)));
    let pause = Box::pin(sleep(Duration::from_millis(1)));
    let Either::Right((_, hanging)) = select(hanging, pause).await else {
        panic!("an answer came an hour early");
    };
    assert_eq!(matched.stats().in_flight, 1);
    drop(hanging);
    assert_eq!(matched.stats().in_flight, 0);
    let begun = Instant::now();
    assert_eq!(matched.call(ask(2)).await.unwrap().what, 2);
    assert_eq!(begun.elapsed(), Duration::ZERO);
}

#[tokio::test(start_paused = true)]
async fn a_call_that_is_dropped_before_it_was_sent_never_is() {
    let server = Server::that_does_not_read();
    let matched = server.matched(Settings::default());
    let deadline = Instant::now() + Duration::from_millis(1);
    let status = matched.call_until(ask(1), deadline).await.unwrap_err();
    assert_eq!(status.code(), Code::DeadlineExceeded);
    server.read();
    assert_eq!(matched.call(ask(2)).await.unwrap().what, 2);
    assert_eq!(server.log().seen, [2]);
}

#[tokio::test(start_paused = true)]
async fn calls_up_to_the_bound_go_at_once_and_the_next_waits_its_turn() {
    let server = Server::new();
    let matched = server.matched(bound(3));
    let begun = Instant::now();
    let calls = (0..5).map(|what| {
        let call = matched.call(slow(what, 10));
        async move { (call.await.unwrap().what, begun.elapsed().as_millis()) }
    });
    let told = join_all(calls).await;
    assert_eq!(told, [(0, 10), (1, 10), (2, 10), (3, 20), (4, 20)]);
    assert_eq!(server.log().most, 3);
}

#[tokio::test(start_paused = true)]
async fn a_call_waits_for_room_until_its_deadline() {
    let server = Server::new();
    let matched = server.matched(bound(1));
    let begun = Instant::now();
    let deadline = begun + Duration::from_millis(10);
    let (first, second) = tokio::join!(
        matched.call(slow(1, 20)),
        matched.call_until(ask(2), deadline),
    );
    assert_eq!(first.unwrap().what, 1);
    let status = second.unwrap_err();
    let full = "too many calls in flight until the deadline";
    assert_eq!(said(&status), (Code::DeadlineExceeded, full));
    assert_eq!(server.log().seen, [1]);
}

#[tokio::test(start_paused = true)]
async fn a_bound_of_zero_counts_as_one() {
    let server = Server::new();
    let matched = server.matched(bound(0));
    let calls = (0..3).map(|what| matched.call(slow(what, 1)));
    assert!(join_all(calls).await.iter().all(Result::is_ok));
    assert_eq!(server.log().most, 1);
}

#[tokio::test(start_paused = true)]
async fn the_largest_bound_is_kept_to_the_last_call() {
    let server = Server::new();
    let matched = server.matched(bound(u16::MAX));
    let mut calls = JoinSet::new();
    for what in 0..65_536 {
        let matched = matched.clone();
        calls.spawn(async move { matched.call(slow(what, 10)).await.is_ok() });
    }
    assert!(calls.join_all().await.into_iter().all(|is_ok| is_ok));
    assert_eq!(server.log().most, 65_535);
}

#[tokio::test(start_paused = true)]
async fn a_failure_in_an_answer_is_its_calls_alone() {
    let matched = Server::new().matched(Settings::default());
    let (failed, fine) = tokio::join!(matched.call(ask(u64::MAX)), matched.call(ask(1)));
    let status = failed.unwrap_err();
    assert_eq!(said(&status), (Code::OutOfRange, "failed by its answer"));
    assert_eq!(fine.unwrap().what, 1);
}

#[tokio::test(start_paused = true)]
async fn duplicates_and_ids_that_were_never_given_are_counted() {
    let server = Server::new();
    let matched = server.matched(Settings::default());
    let twice = Ask {
        copies: Copies(1),
        ..ask(1)
    };
    assert_eq!(matched.call(twice).await.unwrap().what, 1);
    let deadline = Instant::now() + Duration::from_millis(1);
    for id in [0, 1, 5, 1 << 16 | 7, u64::MAX] {
        let astray = Ask {
            under: Some(id),
            ..ask(2)
        };
        let status = matched.call_until(astray, deadline + Duration::from_millis(id % 1000));
        assert_eq!(status.await.unwrap_err().code(), Code::DeadlineExceeded);
    }
    assert_eq!(matched.stats().unmatched, 6);
}
