//! The counter over the wire: its four kinds of call, REST, cancels, and many callers on a stream.
#![expect(clippy::unwrap_used, reason = "tests fail by panicking")]

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use futures_util::future::{join_all, try_join_all};
use futures_util::stream::{iter, pending};
use tonic::{Code, Request, Status};
use vitalmesh_counter::Increase;
use vitalmesh_matched::{Matched, Settings};
use vitalmesh_proto::counter::v1::counter_service_client::CounterServiceClient;
use vitalmesh_proto::counter::v1::{
    CountdownRequest, IncreaseRequest, IncreaseStreamRequest, SumRequest,
};
use vitalmesh_tests::{
    Mesh, Program, Wire, channel, counter, eventually, get, run, scrape, within,
};

/// How long a stream may go on after its client has left.
const STOPS_WITHIN: Duration = Duration::from_millis(100);

type Client<T = tonic::transport::Channel> = CounterServiceClient<T>;

fn client(address: SocketAddr) -> Client {
    Client::new(channel(address))
}

fn matched(address: SocketAddr) -> Matched<Increase> {
    Matched::new(Increase(client(address)), Settings::default())
}

fn num(num: i32) -> IncreaseStreamRequest {
    IncreaseStreamRequest { num, request_id: 0 }
}

/// A family's value for one method, 0 where it is missing; `code` is empty or a label and a comma.
async fn counted(address: SocketAddr, family: &str, code: &str, method: (&str, &str)) -> f64 {
    let (method, kind) = method;
    let series = format!(
        "grpc_server_{family}_total{{{code}grpc_method=\"{method}\",\
         grpc_service=\"vitalmesh.counter.v1.CounterService\",grpc_type=\"{kind}\"}}"
    );
    scrape(address).await.value(&series).unwrap_or_default()
}

async fn counts(address: SocketAddr, method: (&str, &str)) -> [f64; 4] {
    let ok = "grpc_code=\"OK\",";
    [
        counted(address, "started", "", method).await,
        counted(address, "handled", ok, method).await,
        counted(address, "msg_received", "", method).await,
        counted(address, "msg_sent", "", method).await,
    ]
}

#[tokio::test]
async fn each_kind_of_call_is_answered_and_counted_with_its_messages() {
    let counter = counter(&[]).start().await.unwrap();
    let addresses = counter.addresses();
    let mut client = client(addresses.grpc);

    let response = client.increase(IncreaseRequest { num: 41 }).await.unwrap();
    assert_eq!(response.into_inner().num, 42);

    let nums = (0..5).map(num).collect::<Vec<_>>();
    let responses = client.increase_stream(iter(nums)).await;
    let mut responses = responses.unwrap().into_inner();
    for expected in 1..=5 {
        let response = responses.message().await.unwrap().unwrap();
        assert_eq!((response.num, response.request_id), (expected, 0));
    }
    assert_eq!(responses.message().await.unwrap(), None);

    let nums = [7, 8, 9].map(|num| SumRequest { num });
    let sum = client.sum(iter(nums)).await;
    let sum = sum.unwrap().into_inner();
    assert_eq!((sum.total, sum.count), (24, 3));

    let numbers = client.countdown(CountdownRequest { from: 9 }).await;
    let mut numbers = numbers.unwrap().into_inner();
    for expected in (0..=9).rev() {
        assert_eq!(numbers.message().await.unwrap().unwrap().num, expected);
    }
    assert_eq!(numbers.message().await.unwrap(), None);

    for (method, expected) in [
        (("Increase", "unary"), [1.0, 1.0, 1.0, 1.0]),
        (("IncreaseStream", "bidi_stream"), [1.0, 1.0, 5.0, 5.0]),
        (("Sum", "client_stream"), [1.0, 1.0, 3.0, 1.0]),
        (("Countdown", "server_stream"), [1.0, 1.0, 1.0, 10.0]),
    ] {
        let of = async || counts(addresses.scrape, method).await;
        vitalmesh_tests::eventually_eq(expected, of).await;
    }
}

#[tokio::test]
async fn rest_answers_beside_grpc() {
    let counter = counter(&[]).start().await.unwrap();
    let http = counter.addresses().http.unwrap();
    let next = get(http, "/increase/41").await;
    assert_eq!((next.status, next.body.as_str()), (200, r#"{"num":42}"#));
    let last = get(http, "/increase/2147483647").await;
    assert_eq!(last.header("content-type"), "application/problem+json");
    assert_eq!((last.status, &last.json()["status"]), (400, &400.into()));
    let page = get(http, "/prometheus/metrics").await;
    let series = r#"http_server_requests_total{method="GET",route="/increase/{n}",status="200"} 1"#;
    assert!(page.body.contains(series), "{}", page.body);
}

const COUNTDOWN: (&str, &str) = ("Countdown", "server_stream");

/// Begins a countdown, leaves it after its first number, and tells how long the server went on,
/// and how many numbers it had made.
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
    // A busy machine may be late; a generator that looks up too rarely always is.
    for run in 1..=5 {
        let (took, made) = cancelled_countdown(counter.addresses(), f64::from(run)).await;
        assert!(made < 10_000_000.0, "it ran to its end");
        runs.push(took);
    }
    let best = runs.iter().min().unwrap();
    println!("stopped after {runs:?}");
    assert!(*best < STOPS_WITHIN, "{runs:?}");
}

#[tokio::test]
async fn a_stream_that_nobody_reads_is_generated_no_further_than_the_windows() {
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
    // hyper's client window of 2 MiB a stream, of 11 bytes a number.
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
    // The caller's own deadline is sooner.
    let mut request = Request::new(CountdownRequest { from: i32::MAX });
    let soon = "20m".parse().unwrap();
    request.metadata_mut().insert("grpc-timeout", soon);
    let mut numbers = client.countdown(request).await.unwrap().into_inner();
    let ended = loop {
        match numbers.message().await {
            Ok(number) => assert!(number.is_some(), "it ran to its end"),
            Err(status) => break status,
        }
    };
    assert_eq!(ended.code(), Code::DeadlineExceeded);
    assert!(begun.elapsed() >= Duration::from_millis(620));
}

#[tokio::test]
async fn a_stream_that_nobody_reads_is_cut_after_its_deadline() {
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

#[tokio::test]
async fn many_callers_share_one_stream_and_each_gets_its_own_answer() {
    let counter = counter(&[]).start().await.unwrap();
    let addresses = counter.addresses();
    let increase = matched(addresses.grpc);
    let caller = async |first: i32| {
        for at in first..first + 20 {
            assert_eq!(increase.call(num(at)).await?.num, at + 1);
        }
        Ok::<_, Status>(())
    };
    try_join_all((0..50).map(|first| caller(first * 1000)))
        .await
        .unwrap();

    let calls = [i32::MAX, 1].map(|last| increase.call(num(last)));
    let [failed, fine] = join_all(calls).await.try_into().unwrap();
    assert_eq!(failed.unwrap_err().code(), Code::OutOfRange);
    assert_eq!(fine.unwrap().num, 2);

    drop(increase);
    let of = async || counts(addresses.scrape, ("IncreaseStream", "bidi_stream")).await;
    // The stream ends well: its last caller half-closes it.
    vitalmesh_tests::eventually_eq([1.0, 1.0, 1002.0, 1002.0], of).await;
}

#[tokio::test]
async fn callers_are_told_when_the_counter_goes_and_go_on_when_it_is_back() {
    let first = counter(&["--drain-timeout", "100ms"])
        .start()
        .await
        .unwrap();
    let address = first.addresses().grpc;
    let increase = matched(address);
    assert_eq!(increase.call(num(1)).await.unwrap().num, 2);
    first.stop().await;
    let call = within(Duration::from_secs(5), increase.call(num(2)));
    assert_eq!(call.await.0.unwrap_err().code(), Code::Unavailable);

    let flags = ["--grpc-address", &address.to_string()];
    let _second = counter(&flags).start().await.unwrap();
    let answer = eventually("an answer", async || increase.call(num(3)).await.ok()).await;
    assert_eq!(answer.num, 4);
}

#[tokio::test]
async fn metadata_is_echoed_where_asked_for() {
    let every_byte: Vec<u8> = (0..=255).collect();
    for (switch, echoes) in [("on", true), ("off", false)] {
        let counter = counter(&["--echo-metadata", switch]).start().await.unwrap();
        let mut client = client(counter.addresses().grpc);
        for num in [1, i32::MAX] {
            let mut request = Request::new(IncreaseRequest { num });
            let metadata = request.metadata_mut();
            metadata.insert("x-text", "as it is".parse().unwrap());
            let bytes = tonic::metadata::MetadataValue::from_bytes(&every_byte);
            metadata.insert_bin("x-bytes-bin", bytes);
            metadata.insert("authorization", "Bearer hidden".parse().unwrap());
            let answered = client.increase(request).await;
            // The failure has no messages, so its metadata is all in its trailers.
            let metadata = match &answered {
                Ok(response) => response.metadata(),
                Err(status) => status.metadata(),
            };
            assert_eq!(answered.is_ok(), num == 1);
            let text = metadata
                .get("echo-x-text")
                .map(|text| text.to_str().unwrap());
            assert_eq!(text, echoes.then_some("as it is"));
            let bytes = metadata.get_bin("echo-x-bytes-bin");
            let bytes = bytes.map(|bytes| bytes.to_bytes().unwrap());
            assert_eq!(bytes.as_deref(), echoes.then_some(every_byte.as_slice()));
            assert!(!metadata.contains_key("echo-authorization"));
        }
    }
}

#[tokio::test]
async fn the_counter_beats_to_the_edge() {
    let mesh = Mesh::start().await;
    let edge = format!("http://{}", mesh.edge.addresses().grpc);
    let _counter = counter(&["--edge-url", &edge]).start().await.unwrap();
    let line = eventually("a beat", async || {
        let list = get(mesh.http(), "/heartbeats").await.json();
        let lines = list["services"].as_array()?.clone();
        let beaten = |line: &serde_json::Value| line["service"] == "counter" && line["beats"] == 1;
        lines.into_iter().find(beaten)
    })
    .await;
    assert_eq!(line["late"], false);
}

#[tokio::test]
async fn mesh_count_counts_in_every_way() {
    let counter = Program::service("counter", &["--edge-url", "http://127.0.0.1:1"]);
    let url = format!("http://{}", counter.address("grpc").await);
    let rest_url = format!("http://{}", counter.address("http").await);
    for via in ["function", "rest", "unary", "stream", "matched"] {
        for (callers, said) in [("1", "1 caller"), ("7", "7 callers")] {
            let words = [
                "count",
                "--to",
                "50",
                "--via",
                via,
                "--callers",
                callers,
                "--url",
                &url,
                "--rest-url",
                &rest_url,
            ];
            let output = run("mesh", &words, &[]).await;
            let line = String::from_utf8(output.stdout).unwrap();
            let expected = format!("counted to 50 via {via}, {said}: ");
            assert!(
                line.starts_with(&expected) && line.ends_with(" a call\n"),
                "{line}"
            );
            assert_eq!(output.status.code(), Some(0));
        }
    }
}

#[tokio::test]
async fn mesh_count_says_in_one_line_that_no_counter_answers() {
    let nobody = format!("http://{}", vitalmesh_tests::free_address());
    for via in ["rest", "unary", "stream", "matched"] {
        let words = [
            "count",
            "--via",
            via,
            "--url",
            &nobody,
            "--rest-url",
            &nobody,
        ];
        let output = run("mesh", &words, &[]).await;
        let line = String::from_utf8(output.stderr).unwrap();
        assert!(
            line.starts_with(&format!("no counter answers at {nobody}/: ")),
            "{line}"
        );
        assert!(line.ends_with("; `mesh up` runs one\n"), "{line}");
        assert_eq!((output.status.code(), output.stdout.len()), (Some(1), 0));
    }
}
