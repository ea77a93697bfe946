//! Each kind of call, REST, metadata, and the heartbeat.

use futures_util::stream::iter;
use tonic::Request;
use vitalmesh_proto::counter::v1::{CountdownRequest, IncreaseRequest, SumRequest};
use vitalmesh_tests::{Mesh, counter, eventually, get};

use crate::fixture::{client, counts, num};

#[tokio::test]
async fn each_kind_of_call_is_counted_with_its_messages() {
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
async fn rest_is_served_beside_grpc() {
    let counter = counter(&[]).start().await.unwrap();
    let http = counter.addresses().http.unwrap();
    let next = get(http, "/increase/41").await;
    assert_eq!((next.status, next.body.as_str()), (200, r#"{"num":42}"#));
    let next = get(http, "/increase/41/").await;
    assert_eq!((next.status, next.body.as_str()), (200, r#"{"num":42}"#));
    let last = get(http, "/increase/2147483647/").await;
    assert_eq!(last.header("content-type"), "application/problem+json");
    assert_eq!((last.status, &last.json()["status"]), (400, &400.into()));
    let page = get(http, "/prometheus/metrics").await;
    let series = r#"http_server_requests_total{method="GET",route="/increase/{n}",status="200"} 2"#;
    assert!(page.body.contains(series), "{}", page.body);
}

#[tokio::test]
async fn metadata_is_echoed_where_enabled() {
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
            // A failure has no messages: its metadata is in the trailers.
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
async fn the_counter_sends_heartbeats_to_the_edge() {
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
