//! The ends of a stream: cancel, a reader that stops, deadlines.

use std::time::Duration;

use futures_util::stream::pending;
use tokio::time::Instant;
use tonic::{Code, Request};
use vitalmesh_proto::counter::v1::CountdownRequest;
use vitalmesh_tests::{Wire, counter, eventually};

use crate::fixture::{Client, client, counted};

/// How long a generator may run after its client has cancelled.
const STOPS_WITHIN: Duration = Duration::from_millis(100);

const COUNTDOWN: (&str, &str) = ("Countdown", "server_stream");

/// Cancels a countdown after its first number. Returns how long the server took to stop, and how many
/// numbers it had produced.
async fn cancelled_countdown(addresses: vitalmesh_chassis::Addresses, run: f64) -> (Duration, f64) {
    let from = 10_000_000;
    let numbers = client(addresses.grpc)
        .countdown(CountdownRequest { from })
        .await;
    let mut numbers = numbers.unwrap().into_inner();
    assert_eq!(numbers.message().await.unwrap().unwrap().num, from);
    let begun = Instant::now();
    drop(numbers);
    let canceled = "grpc_code=\"Canceled\",";
    let is_canceled = async || {
        let ended = counted(addresses.scrape, "handled", canceled, COUNTDOWN).await;
        (ended >= run).then_some(())
    };
    eventually("the countdown is cancelled", is_canceled).await;
    let took = begun.elapsed();
    (
        took,
        counted(addresses.scrape, "msg_sent", "", COUNTDOWN).await,
    )
}

#[tokio::test]
async fn the_generator_of_a_long_stream_stops_within_100_ms_of_its_clients_cancel() {
    let counter = counter(&[]).start().await.unwrap();
    let mut runs = Vec::new();
    // A busy machine may be late once; a generator that polls too rarely is always late.
    for run in 1..=5 {
        let (took, made) = cancelled_countdown(counter.addresses(), f64::from(run)).await;
        assert!(made < 10_000_000.0, "it was not stopped");
        runs.push(took);
    }
    let best = runs.iter().min().unwrap();
    println!("stopped after {runs:?}");
    assert!(*best < STOPS_WITHIN, "{runs:?}");
}

#[tokio::test]
async fn an_unread_stream_is_generated_up_to_the_flow_control_windows() {
    let counter = counter(&[]).start().await.unwrap();
    let addresses = counter.addresses();
    let from = i32::MAX;
    let numbers = client(addresses.grpc)
        .countdown(CountdownRequest { from })
        .await;
    let made = async || counted(addresses.scrape, "msg_sent", "", COUNTDOWN).await;
    let mut last = (0.0, 0);
    let stalled = eventually("the generator waits", async || {
        let now = made().await;
        last = if now == last.0 {
            (now, last.1 + 1)
        } else {
            (now, 0)
        };
        (now > 0.0 && last.1 > 20).then_some(now)
    })
    .await;
    // The stream window of hyper's client is 2 MiB, a number takes 11 bytes.
    assert!(stalled < 300_000.0, "{stalled} numbers wait for a reader");
    drop(numbers);
}

#[tokio::test]
async fn a_deadline_ends_each_kind_of_stream() {
    let counter = counter(&["--stream-timeout", "300ms"])
        .start()
        .await
        .unwrap();
    let wire = Wire::connect(counter.addresses().grpc).await;
    let mut client = Client::with_origin(wire.clone(), wire.origin());
    let begun = Instant::now();

    let mut bidi = client
        .increase_stream(pending())
        .await
        .unwrap()
        .into_inner();
    let code = bidi.message().await.unwrap_err().code();
    assert_eq!(code, Code::DeadlineExceeded);
    let sum = client.sum(pending()).await.unwrap_err();
    assert_eq!(sum.code(), Code::DeadlineExceeded);
    // The caller's own deadline comes first.
    let mut request = Request::new(CountdownRequest { from: i32::MAX });
    let soon = "20m".parse().unwrap();
    request.metadata_mut().insert("grpc-timeout", soon);
    let mut numbers = client.countdown(request).await.unwrap().into_inner();
    let ended = loop {
        match numbers.message().await {
            Ok(number) => assert!(number.is_some(), "it was not stopped"),
            Err(status) => break status,
        }
    };
    assert_eq!(ended.code(), Code::DeadlineExceeded);
    assert!(begun.elapsed() >= Duration::from_millis(620));
}

#[tokio::test]
async fn an_unread_stream_is_aborted_after_its_deadline() {
    let timeouts = ["--call-timeout", "300ms", "--stream-timeout", "300ms"];
    let counter = counter(&timeouts).start().await.unwrap();
    let addresses = counter.addresses();
    let wire = Wire::connect(addresses.grpc).await;
    let mut client = Client::with_origin(wire.clone(), wire.origin());
    let begun = Instant::now();
    let from = i32::MAX;
    let numbers = client.countdown(CountdownRequest { from }).await.unwrap();
    let deadline = async || {
        let code = "grpc_code=\"DeadlineExceeded\",";
        let ended = counted(addresses.scrape, "handled", code, COUNTDOWN).await;
        (ended == 1.0).then_some(())
    };
    eventually("the stream is over", deadline).await;
    assert!(begun.elapsed() >= Duration::from_millis(1300));
    drop(numbers);
}
