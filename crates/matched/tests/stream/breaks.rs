//! Calls on a stream that ends, and the stream after it.

use std::error::Error;
use std::time::Duration;

use futures_util::future::join_all;
use tokio::time::{Instant, advance, sleep};
use tonic::{Code, Status};
use vitalmesh_matched::{Matched, Reconnect, Settings};

use crate::server::{Request, Server, request, slow};

fn end(status: Option<Status>) -> Request {
    Request {
        end: Some(status),
        ..request(99)
    }
}

fn never() -> Settings {
    Settings {
        reconnect: Reconnect::Never,
        ..Settings::default()
    }
}

async fn fails_at_once(matched: &Matched<Server>) -> Status {
    let begun = Instant::now();
    let status = matched.call(request(0)).await.unwrap_err();
    assert_eq!(begun.elapsed(), Duration::ZERO, "{status}");
    assert_eq!(status.code(), Code::Unavailable);
    status
}

#[tokio::test(start_paused = true)]
async fn every_waiting_call_has_the_streams_status() {
    let server = Server::new();
    let matched = server.matched(Settings::default());
    let breaks = async {
        sleep(Duration::from_millis(5)).await;
        matched
            .call(end(Some(Status::data_loss("the disk is gone"))))
            .await
    };
    let waiting = join_all((0..50).map(|number| matched.call(slow(number, 10))));
    let (broke, waiting) = tokio::join!(breaks, waiting);
    let statuses = waiting.into_iter().chain([broke]).map(Result::unwrap_err);
    for status in statuses {
        assert_eq!(status.code(), Code::Unavailable);
        let expected = "the stream ended before the response: DataLoss, the disk is gone";
        assert_eq!(status.message(), expected);
        let source = status
            .source()
            .and_then(|source| source.downcast_ref::<Status>());
        assert_eq!(source.unwrap().code(), Code::DataLoss);
    }
    assert_eq!(matched.stats().in_flight, 0);
}

#[tokio::test(start_paused = true)]
async fn a_stream_that_ends_without_a_status_ends_its_calls() {
    let matched = Server::new().matched(Settings::default());
    let status = matched.call(end(None)).await.unwrap_err();
    assert_eq!(status.code(), Code::Unavailable);
    assert_eq!(status.message(), "the stream ended before the response");
    assert!(status.source().is_none());
}

#[tokio::test(start_paused = true)]
async fn after_a_stream_with_a_response_the_next_opens_at_once_and_resends_nothing() {
    let server = Server::new();
    let matched = server.matched(Settings::default());
    let (first, waiting, broke) =
        tokio::join!(matched.call(request(1)), matched.call(slow(2, 10)), async {
            sleep(Duration::from_millis(5)).await;
            matched.call(end(None)).await
        },);
    assert_eq!(first.unwrap().number, 1);
    assert_eq!(waiting.unwrap_err().code(), Code::Unavailable);
    assert_eq!(broke.unwrap_err().code(), Code::Unavailable);
    assert_eq!(matched.call(request(3)).await.unwrap().number, 3);
    assert_eq!(server.log().received, [1, 2, 99, 3]);
    assert_eq!(server.log().streams, 2);
    assert_eq!(matched.stats().streams, 2);
}

#[tokio::test(start_paused = true)]
async fn while_no_stream_may_open_calls_fail_at_once() {
    let server = Server::new();
    server.log().open_error = Some(Status::unauthenticated("who is there"));
    let matched = server.matched(Settings::default());
    let status = fails_at_once(&matched).await;
    assert!(
        status.message().ends_with("Unauthenticated, who is there"),
        "{status}"
    );
    assert_eq!(server.log().streams, 1);
    // Jitter takes a fifth of 50 ms at most.
    advance(Duration::from_millis(39)).await;
    let again = fails_at_once(&matched).await;
    assert_eq!(again.message(), status.message());
    assert_eq!(server.log().streams, 1);
    advance(Duration::from_millis(11)).await;
    fails_at_once(&matched).await;
    assert_eq!(server.log().streams, 2);
}

#[tokio::test(start_paused = true)]
async fn the_pause_grows_to_its_limit_and_a_response_resets_it() {
    let server = Server::new();
    let matched = server.matched(Settings::default());
    server.log().open_error = Some(Status::unavailable("not yet"));
    let begun = Instant::now();
    while server.log().streams < 20 {
        fails_at_once(&matched).await;
        advance(Duration::from_millis(1)).await;
    }
    // 50 ms doubled seven times is over 5 s: 6.35 s, then twelve times 5 s.
    let longest = Duration::from_millis(6_350 + 12 * 5_000 + 20);
    let took = begun.elapsed();
    assert!(took <= longest && took >= longest.mul_f64(0.79), "{took:?}");

    server.log().open_error = None;
    advance(Duration::from_secs(5)).await;
    assert_eq!(matched.call(request(1)).await.unwrap().number, 1);
    matched.call(end(None)).await.unwrap_err();
    server.log().open_error = Some(Status::unavailable("gone again"));
    fails_at_once(&matched).await;
    advance(Duration::from_millis(50)).await;
    server.log().open_error = None;
    assert_eq!(matched.call(request(2)).await.unwrap().number, 2);
}

#[tokio::test(start_paused = true)]
async fn without_reconnect_every_later_call_fails() {
    let server = Server::new();
    let matched = server.matched(never());
    assert_eq!(matched.call(request(1)).await.unwrap().number, 1);
    matched
        .call(end(Some(Status::aborted("enough"))))
        .await
        .unwrap_err();
    advance(Duration::from_secs(86_400)).await;
    let status = fails_at_once(&matched).await;
    assert!(status.message().ends_with("Aborted, enough"), "{status}");
    assert_eq!(server.log().streams, 1);
}

#[tokio::test(start_paused = true)]
async fn a_panic_in_the_protocol_fails_the_calls() {
    let server = Server::new();
    server.log().panics = true;
    let matched = server.matched(Settings::default());
    let status = fails_at_once(&matched).await;
    assert!(
        status.message().ends_with("the stream's task was dropped"),
        "{status}"
    );
    server.log().panics = false;
    advance(Duration::from_millis(50)).await;
    assert_eq!(matched.call(request(1)).await.unwrap().number, 1);
}

#[tokio::test(start_paused = true)]
async fn dropping_the_last_clone_ends_the_requests_and_the_server_ends_the_stream() {
    let server = Server::new();
    let matched = server.matched(Settings::default());
    let clone = matched.clone();
    assert_eq!(matched.call(request(1)).await.unwrap().number, 1);
    drop(matched);
    assert_eq!(clone.call(request(2)).await.unwrap().number, 2);
    assert_eq!(server.log().ended, 0);
    drop(clone);
    sleep(Duration::from_millis(1)).await;
    assert_eq!(server.log().ended, 1);
    let log = server.log().clone();
    assert_eq!((log.streams, log.cancelled), (1, 0));
}

#[tokio::test(start_paused = true)]
async fn a_server_that_does_not_end_the_stream_is_cancelled_after_a_second() {
    let server = Server::new();
    server.log().hangs = true;
    let matched = server.matched(Settings::default());
    assert_eq!(matched.call(request(1)).await.unwrap().number, 1);
    let begun = Instant::now();
    drop(matched);
    while server.log().cancelled == 0 {
        sleep(Duration::from_millis(1)).await;
    }
    assert_eq!(begun.elapsed().as_millis(), 1001);
}

#[tokio::test(start_paused = true)]
async fn closing_the_last_clone_waits_until_the_server_has_ended_the_stream() {
    let server = Server::new();
    let matched = server.matched(Settings::default());
    let clone = matched.clone();
    assert_eq!(matched.call(request(1)).await.unwrap().number, 1);
    matched.close().await;
    assert_eq!(clone.call(request(2)).await.unwrap().number, 2);
    assert_eq!(server.log().ended, 0);
    clone.close().await;
    let log = server.log().clone();
    assert_eq!((log.streams, log.ended, log.cancelled), (1, 1, 0));
}

#[tokio::test(start_paused = true)]
async fn closing_waits_for_a_second_at_most_and_not_at_all_without_a_stream() {
    let server = Server::new();
    server.log().hangs = true;
    let begun = Instant::now();
    server.matched(Settings::default()).close().await;
    assert_eq!(begun.elapsed().as_millis(), 0);
    let matched = server.matched(Settings::default());
    assert_eq!(matched.call(request(1)).await.unwrap().number, 1);
    matched.close().await;
    assert_eq!(begun.elapsed().as_millis(), 1000);
    assert_eq!(server.log().cancelled, 1);
}
