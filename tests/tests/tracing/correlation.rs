//! One trace id in a call's log line, its exemplar and its span.

use bytes::Bytes;
use futures_util::stream;
use http::Request;
use http_body_util::StreamBody;
use hyper::body::Frame;
use tonic::body::Body;
use tonic::{Code, Status};
use tower_service::Service;
use vitalmesh_proto::revert_name::v1::RevertNameRequest;
use vitalmesh_proto::revert_name::v1::revert_name_service_client::RevertNameServiceClient;
use vitalmesh_tests::{Collector, Program, Wire, channel, eventually, eventually_eq, scrape};

use crate::fixture::{TIME, exemplars};

#[tokio::test]
async fn a_failed_call_has_one_trace_id_in_log_exemplar_and_span() {
    let collector = Collector::start().await;
    let leaf = Program::service("revert-name", &["--otlp-endpoint", &collector.url()]);
    let trace_id = "b".repeat(32);
    let mut request = tonic::Request::new(RevertNameRequest {
        name: "internal".to_owned(),
        delay: 0,
    });
    let traceparent = format!("00-{trace_id}-00f067aa0ba902b7-01");
    let metadata = request.metadata_mut();
    metadata.insert("traceparent", traceparent.parse().unwrap());
    let channel = channel(leaf.address("grpc").await);
    let mut client = RevertNameServiceClient::new(channel);
    assert_eq!(
        client.revert_name(request).await.unwrap_err().code(),
        Code::Internal
    );

    let line = leaf.logged("call ended").await;
    assert_eq!(
        (&line["level"], &line["trace_id"]),
        (&"WARN".into(), &trace_id.clone().into())
    );
    let page = leaf.address("scrape").await;
    assert_eq!(exemplars(page, "server").await, [&*trace_id]);
    let spans = collector.trace(&trace_id, 1).await;
    assert_eq!(spans[0].attribute("rpc.grpc.status_code"), "13");
    assert_eq!(
        spans[0].failure.as_deref(),
        Some("fault on demand: the name requests INTERNAL")
    );
}

#[tokio::test]
async fn a_cancelled_call_is_logged_and_recorded_as_the_callers() {
    let collector = Collector::start().await;
    let flags = [
        "--otlp-endpoint",
        &collector.url(),
        "--log-level",
        "vitalmesh=debug",
    ];
    let leaf = Program::service("time", &flags);
    let mut wire = Wire::connect(leaf.address("grpc").await).await;
    let page = leaf.address("scrape").await;
    let labels = "grpc_method=\"WhatTimeIs\",grpc_service=\"vitalmesh.time.v1.TimeService\",grpc_type=\"unary\"";

    // A request that never ends.
    let endless = StreamBody::new(stream::pending::<Result<Frame<Bytes>, Status>>());
    let request = Request::post(format!("{}{TIME}", wire.origin()))
        .header("content-type", "application/grpc");
    let call = tokio::spawn(wire.call(request.body(Body::new(endless)).unwrap()));
    eventually_eq(Some(1.0), async || {
        let started = format!("grpc_server_started_total{{{labels}}}");
        scrape(page).await.value(&started)
    })
    .await;
    call.abort();

    let line = leaf.logged("call ended").await;
    assert_eq!(
        (&line["level"], &line["code"]),
        (&"DEBUG".into(), &"Canceled".into())
    );
    let handled = format!("grpc_server_handled_total{{grpc_code=\"Canceled\",{labels}}}");
    assert_eq!(scrape(page).await.value(&handled), Some(1.0));
    let span = eventually("the call's span", async || {
        collector.spans().into_iter().find(|span| span.name == TIME)
    });
    let span = span.await;
    assert_eq!(
        (
            span.attribute("rpc.grpc.status_code"),
            span.failure.as_deref()
        ),
        ("1", None)
    );
}
