//! Connections, streams and calls above their limits.

use std::time::Duration;

use futures_util::future::join_all;
use tokio::io::AsyncWriteExt;
use tokio::time::timeout;
use tonic::Code;
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_client::HealthClient;
use vitalmesh_tests::{Wire, channel, eventually, get, scrape, within};

use crate::fixture::{PATIENCE, leaf, revert};
use crate::frames::{
    DATA, END_STREAM, Frames, HEADERS, REFUSED_STREAM, RST_STREAM, SETTINGS, frame, request,
    streams,
};

#[tokio::test]
async fn a_connection_above_the_limit_waits_for_one_to_close() {
    let leaf = leaf(&["--max-connections", "2"]).await;
    let address = leaf.addresses().grpc;
    let (first, second) = (Wire::connect(address).await, Wire::connect(address).await);
    for wire in [&first, &second] {
        assert_eq!(revert(wire, "Ana", 0).await, Ok("anA".to_owned()));
    }
    let third = Wire::connect(address).await;
    let mut waiting = std::pin::pin!(revert(&third, "Ana", 0));
    let early = timeout(Duration::from_millis(300), &mut waiting).await;
    assert!(early.is_err(), "served above the limit: {early:?}");
    assert_eq!(revert(&second, "Bo", 0).await, Ok("oB".to_owned()));
    // Each port has its own limit: the scrape port still serves.
    assert_eq!(get(leaf.addresses().scrape, "/livez").await.status, 200);
    drop(first);
    assert_eq!(within(PATIENCE, waiting).await.0, Ok("anA".to_owned()));
}

#[tokio::test]
async fn a_stream_above_the_limit_is_refused_and_a_compliant_client_queues() {
    let leaf = leaf(&["--max-streams", "2"]).await;
    let mut reckless = Frames::connect(leaf.addresses().grpc).await;
    let (_, _, settings) = reckless.first(SETTINGS).await;
    let mut settings = settings.chunks(6);
    assert!(
        settings.any(|setting| setting == [0, 3, 0, 0, 0, 2]),
        "MAX_CONCURRENT_STREAMS"
    );
    let requests: Vec<_> = streams(3).flat_map(request).collect();
    reckless.0.write_all(&requests).await.unwrap();
    let (_, stream, payload) = reckless.first(RST_STREAM).await;
    assert_eq!(
        (stream, payload),
        (5, REFUSED_STREAM.to_be_bytes().to_vec())
    );
    // The two streams before it are open.
    reckless
        .0
        .write_all(&frame(DATA, END_STREAM, 1, &[0, 0, 0, 0, 0]))
        .await
        .unwrap();
    assert_eq!(reckless.first(HEADERS).await.1, 1);

    let compliant = Wire::connect(leaf.addresses().grpc).await;
    // The client knows the limit after the first response.
    assert_eq!(revert(&compliant, "Ana", 0).await, Ok("anA".to_owned()));
    let calls = (0..10).map(|_| revert(&compliant, "Ana", 0));
    assert_eq!(join_all(calls).await, vec![Ok("anA".to_owned()); 10]);
}

#[tokio::test]
async fn a_call_above_the_limit_is_rejected_and_counted_while_health_responds() {
    let leaf = leaf(&["--max-calls", "1"]).await;
    let wire = Wire::connect(leaf.addresses().grpc).await;
    let labels = "grpc_method=\"RevertName\",\
                  grpc_service=\"vitalmesh.revert_name.v1.RevertNameService\",grpc_type=\"unary\"";
    let counted = async |series: String| {
        scrape(leaf.addresses().scrape)
            .await
            .value(&series)
            .unwrap_or_default()
    };
    let long = wire.clone();
    let long = tokio::spawn(async move { revert(&long, "Ana", 2).await });
    eventually("the long call has begun", async || {
        (counted(format!("grpc_server_started_total{{{labels}}}")).await == 1.0).then_some(())
    })
    .await;

    for _ in 0..3 {
        let (refused, took) = within(PATIENCE, revert(&wire, "Bo", 0)).await;
        assert_eq!(refused, Err(Code::ResourceExhausted));
        assert!(took < Duration::from_millis(500), "{took:?}");
    }
    let mut health = HealthClient::new(channel(leaf.addresses().grpc));
    let check = health.check(HealthCheckRequest::default()).await;
    assert_eq!(check.unwrap().into_inner().status, 1, "SERVING");
    assert_eq!(long.await.unwrap(), Ok("anA".to_owned()));

    let handled = |code| format!("grpc_server_handled_total{{grpc_code=\"{code}\",{labels}}}");
    for (series, count) in [
        (handled("ResourceExhausted"), 3.0),
        (handled("OK"), 1.0),
        (format!("grpc_server_started_total{{{labels}}}"), 4.0),
        ("mesh_calls_shed_total".to_owned(), 3.0),
    ] {
        assert_eq!(counted(series.clone()).await, count, "{series}");
    }
    assert_eq!(revert(&wire, "Bo", 0).await, Ok("oB".to_owned()));
}
