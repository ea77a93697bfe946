//! The spans of the real services, as a collector gets them.
#![expect(clippy::unwrap_used, reason = "tests fail by panicking")]

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::time::Duration;

use bytes::Bytes;
use futures_util::stream;
use http::Request;
use http_body_util::StreamBody;
use hyper::body::Frame;
use opentelemetry_proto::tonic::trace::v1::span::SpanKind;
use tonic::body::Body;
use tonic::{Code, Status};
use tower_service::Service;
use vitalmesh_proto::revert_name::v1::RevertNameRequest;
use vitalmesh_proto::revert_name::v1::revert_name_service_client::RevertNameServiceClient;
use vitalmesh_tests::{
    Answer, Collector, Mesh, Program, SeenSpan, Wire, channel, eventually, eventually_eq,
    free_address, get, run, scrape, send, within,
};

const REVERT: &str = "vitalmesh.revert_name.v1.RevertNameService/RevertName";
const TIME: &str = "vitalmesh.time.v1.TimeService/WhatTimeIs";
const BEAT: &str = "vitalmesh.heartbeat.v1.HeartbeatService/BeatHeart";
const PROXY: &str = "GET /proxy/{name}";
const ROOT: (&str, SpanKind, &str) = ("edge", SpanKind::Server, PROXY);
const CLIENT: (&str, SpanKind, &str) = ("edge", SpanKind::Client, REVERT);
const SERVER: (&str, SpanKind, &str) = ("revert-name", SpanKind::Server, REVERT);
/// The spans of one `GET /proxy/{name}`.
const TREE: usize = 5;

const EXPORTED: &str = "mesh_spans_exported_total";
const QUEUE_FULL: &str = "mesh_spans_dropped_total{reason=\"queue_full\"}";
const FAILED: &str = "mesh_spans_dropped_total{reason=\"export_failed\"}";

async fn traced(collector: &Collector, flags: &[&str]) -> Mesh {
    let url = collector.url();
    let flags = [&["--otlp-endpoint", &url], flags].concat();
    Mesh::with(&flags, &flags).await
}

async fn proxied(mesh: &Mesh, name: &str, traceparent: &str) -> Answer {
    let request = Request::get(format!("/proxy/{name}")).header("traceparent", traceparent);
    send(mesh.http(), request).await.unwrap()
}

/// The trace that a REST answer names.
fn trace_id(answer: &Answer) -> String {
    let parts: Vec<_> = answer.header("traceresponse").split('-').collect();
    assert_eq!((parts[0], parts[3]), ("00", "01"), "{answer:?}");
    parts[1].to_owned()
}

fn tree(spans: &[SeenSpan]) -> BTreeSet<String> {
    let name = |id: &str| {
        let parent = spans.iter().find(|span| span.span_id == id);
        parent.map_or("", |parent| &parent.name)
    };
    let place = |span: &SeenSpan| {
        let SeenSpan { service, kind, .. } = span;
        format!(
            "{service} {kind:?} {} < {}",
            span.name,
            name(&span.parent_id)
        )
    };
    spans.iter().map(place).collect()
}

#[tokio::test]
async fn a_rest_request_is_one_tree_of_five_spans() {
    let collector = Collector::start().await;
    let mesh = traced(&collector, &[]).await;
    let answer = get(mesh.http(), "/proxy/Ana").await;
    let spans = collector.trace(&trace_id(&answer), TREE).await;
    let expected = [
        format!("edge Server {PROXY} < "),
        format!("edge Client {REVERT} < {PROXY}"),
        format!("revert-name Server {REVERT} < {REVERT}"),
        format!("edge Client {TIME} < {PROXY}"),
        format!("time Server {TIME} < {TIME}"),
    ];
    assert_eq!(tree(&spans), BTreeSet::from(expected));
    assert_eq!(spans.len(), TREE);

    let [root, client, server] =
        [ROOT, CLIENT, SERVER].map(|of| spans.iter().find(|span| span.is(of)).unwrap());
    assert_eq!(root.parent_id, "");
    assert_eq!(trace_parent(&answer), root.span_id);
    for (inner, outer) in [(client, root), (server, client)] {
        assert!(inner.started >= outer.started, "{inner:?} in {outer:?}");
        assert!(inner.took <= outer.took, "{inner:?} in {outer:?}");
    }
    assert!(spans.iter().all(|span| span.failure.is_none()));

    let id = trace_id(&answer);
    for (service, side) in [
        (&mesh.edge, "client"),
        (&mesh.revert_name, "server"),
        (&mesh.time, "server"),
    ] {
        assert_eq!(exemplars(service.addresses().scrape, side).await, [&*id]);
    }
}

/// The trace ids beside the durations of the unary calls of one side, without heartbeats.
async fn exemplars(scrape: SocketAddr, side: &str) -> Vec<String> {
    let request = Request::get("/metrics").header("accept", "application/openmetrics-text");
    let page = send(scrape, request).await.unwrap().body;
    let bucket = format!("grpc_{side}_handling_seconds_bucket{{");
    let calls = page.lines().filter(|line| line.starts_with(&bucket));
    let ids = calls.filter_map(|line| {
        let (_, exemplar) = line.split_once(" # {trace_id=\"")?;
        Some(exemplar.split_once('"')?.0.to_owned())
    });
    BTreeSet::from_iter(ids).into_iter().collect()
}

/// The span that a REST answer names.
fn trace_parent(answer: &Answer) -> &str {
    answer.header("traceresponse").split('-').nth(2).unwrap()
}

#[tokio::test]
async fn spans_say_what_the_conventions_ask_and_who_made_them() {
    let collector = Collector::start().await;
    let mesh = traced(&collector, &[]).await;
    let answer = get(mesh.http(), "/proxy/not_found").await;
    assert_eq!(answer.status, 404);
    let trace_id = trace_id(&answer);
    let root = collector.span(&trace_id, ROOT).await;
    let request = [
        "http.request.method",
        "http.route",
        "url.path",
        "url.scheme",
    ];
    let request = request.map(|key| root.attribute(key));
    assert_eq!(
        request,
        ["GET", "/proxy/{name}", "/proxy/not_found", "http"]
    );
    assert_eq!(root.attribute("http.response.status_code"), "404");
    assert_eq!(root.attribute("network.peer.address"), "127.0.0.1");
    assert_eq!(root.failure, None);

    let client = collector.span(&trace_id, CLIENT).await;
    let server = collector.span(&trace_id, SERVER).await;
    let (service, method) = REVERT.split_once('/').unwrap();
    for call in [&client, &server] {
        let rpc = [
            "rpc.system",
            "rpc.service",
            "rpc.method",
            "rpc.grpc.status_code",
        ];
        assert_eq!(
            rpc.map(|key| call.attribute(key)),
            ["grpc", service, method, "5"]
        );
    }
    let port = mesh.revert_name.addresses().grpc.port().to_string();
    assert_eq!(client.attribute("server.address"), "127.0.0.1");
    assert_eq!(client.attribute("server.port"), port);
    assert_eq!(server.attribute("network.peer.address"), "127.0.0.1");
    // A fault for the client, none of the server.
    assert_eq!(
        client.failure.as_deref(),
        Some("fault on demand: the name asked for NOT_FOUND")
    );
    assert_eq!(server.failure, None);

    assert_eq!(server.resource["service.name"], "revert-name");
    assert_eq!(
        server.resource["service.version"],
        env!("CARGO_PKG_VERSION")
    );
    let instances = [&root, &server].map(|span| &span.resource["service.instance.id"]);
    assert_ne!(instances[0], instances[1]);
}

#[tokio::test]
async fn a_servers_fault_fails_every_span_above_it() {
    let collector = Collector::start().await;
    let mesh = traced(&collector, &[]).await;
    let answer = get(mesh.http(), "/proxy/exception").await;
    assert_eq!(answer.status, 500);
    for of in [ROOT, CLIENT, SERVER] {
        let span = collector.span(&trace_id(&answer), of).await;
        assert!(span.failure.is_some(), "{span:?}");
    }
}

#[tokio::test]
async fn a_heartbeat_is_a_trace_from_its_task_to_the_edge() {
    let collector = Collector::start().await;
    let mesh = traced(&collector, &[]).await;
    let beats = eventually("two beats", async || {
        let mut spans = collector.spans();
        spans.retain(|span| span.service == "edge" && span.name == BEAT);
        (spans.len() == 2).then_some(spans)
    });
    for beat in beats.await {
        let spans = collector.trace(&beat.trace_id, 3).await;
        let of_leaf = |span: &&SeenSpan| span.kind == SpanKind::Internal;
        let leaf = &spans.iter().find(of_leaf).unwrap().service;
        let expected = [
            format!("{leaf} Internal task heartbeat < "),
            format!("{leaf} Client {BEAT} < task heartbeat"),
            format!("edge Server {BEAT} < {BEAT}"),
        ];
        assert_eq!(tree(&spans), BTreeSet::from(expected));
        assert!(spans.iter().all(|span| span.failure.is_none()), "{spans:?}");
        // The instance that the roll call names is the one that made the spans.
        let made_by = &spans.iter().find(of_leaf).unwrap().resource["service.instance.id"];
        let seen = get(mesh.http(), "/heartbeats").await.body;
        assert!(
            seen.contains(&format!("\"{made_by}\"")),
            "{made_by} in {seen}"
        );
    }
}

#[tokio::test]
async fn a_task_that_fails_fails_its_span() {
    let collector = Collector::start().await;
    let (url, nobody) = (collector.url(), format!("http://{}", free_address()));
    let flags = ["--otlp-endpoint", &url, "--edge-url", &nobody];
    let leaf = vitalmesh_tests::time(&flags).start().await.unwrap();
    let beat = eventually("a failed beat", async || {
        let spans = collector.spans().into_iter();
        spans.rev().find(|span| span.kind == SpanKind::Internal)
    });
    let failure = beat.await.failure.unwrap();
    assert!(failure.contains("cannot connect"), "{failure}");
    leaf.stop().await;
}

#[tokio::test]
async fn a_trace_goes_on_as_its_caller_says_and_begins_by_the_ratio() {
    let collector = Collector::start().await;
    let mesh = traced(&collector, &["--trace-ratio", "0"]).await;
    let unsampled = "00-aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa-00f067aa0ba902b7-00";
    let sampled = "00-bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb-00f067aa0ba902b7-01";
    for answer in [
        get(mesh.http(), "/proxy/Ana").await,
        proxied(&mesh, "Ana", unsampled).await,
    ] {
        assert_eq!((answer.status, answer.header("traceresponse")), (200, ""));
    }
    let answer = proxied(&mesh, "Ana", sampled).await;
    assert_eq!(trace_id(&answer), "b".repeat(32));
    let spans = collector.trace(&"b".repeat(32), TREE).await;
    let root = spans.iter().find(|span| span.is(ROOT)).unwrap();
    assert_eq!(root.parent_id, "00f067aa0ba902b7");
    mesh.stop().await;
    assert_eq!(collector.spans().len(), TREE);
}

#[tokio::test]
async fn the_last_spans_are_sent_before_a_service_has_stopped() {
    let collector = Collector::start().await;
    let mesh = traced(&collector, &[]).await;
    let answer = get(mesh.http(), "/proxy/Ana").await;
    let trace_id = trace_id(&answer);
    mesh.stop().await;
    let mut spans = collector.spans();
    spans.retain(|span| span.trace_id == trace_id);
    assert_eq!(spans.len(), TREE);
}

#[tokio::test]
async fn a_collector_that_is_not_there_changes_no_call_and_the_loss_is_counted() {
    let nobody = format!("http://{}", free_address());
    let flags = ["--otlp-endpoint", &nobody];
    let mesh = Mesh::with(&flags, &flags).await;
    for _ in 0..10 {
        assert_eq!(get(mesh.http(), "/proxy/Ana").await.status, 200);
    }
    // Three spans a request, and one of the edge's own task and two beats at least.
    let page = eventually("the loss is counted", async || {
        let page = scrape(mesh.edge.addresses().scrape).await;
        (page.value(FAILED)? >= 33.0).then_some(page)
    });
    let page = page.await;
    assert_eq!(page.value(QUEUE_FULL), Some(0.0));
    assert_eq!(page.value(EXPORTED), Some(0.0));
    let clients = page.of("grpc_client_started_total");
    assert!(
        clients
            .iter()
            .all(|series| !series.contains("opentelemetry"))
    );
}

#[tokio::test]
async fn a_collector_that_comes_late_gets_what_ends_from_then_on() {
    let address = free_address();
    let flags = ["--otlp-endpoint", &format!("http://{address}")];
    let mesh = Mesh::with(&flags, &[]).await;
    let value = async |series| scrape(mesh.edge.addresses().scrape).await.value(series);
    eventually("a loss", async || {
        (value(FAILED).await? > 0.0).then_some(())
    })
    .await;
    let collector = Collector::start_at(address).await;
    let answer = get(mesh.http(), "/proxy/Ana").await;
    let root = collector.span(&trace_id(&answer), ROOT).await;
    assert_eq!(root.failure, None);
    eventually("a success", async || {
        (value(EXPORTED).await? >= 3.0).then_some(())
    })
    .await;
}

#[tokio::test]
async fn a_silent_collector_slows_no_call_and_the_queue_is_bounded() {
    let collector = Collector::start_silent().await;
    let mesh = traced(&collector, &[]).await;
    let one = async || {
        let answer = get(mesh.http(), "/proxy/Ana");
        let (answer, took) = within(Duration::from_secs(2), answer).await;
        assert_eq!(answer.status, 200);
        took
    };
    // 512 spans are in the request without an answer, 2048 wait; each request has three more.
    let page = eventually("a full queue", async || {
        for _ in 0..100 {
            one().await;
        }
        let page = scrape(mesh.edge.addresses().scrape).await;
        (page.value(QUEUE_FULL)? > 0.0).then_some(page)
    });
    assert_eq!(page.await.value(EXPORTED), Some(0.0));
    // The stop does not wait for it either.
    within(Duration::from_secs(6), mesh.stop()).await;
}

#[tokio::test]
async fn without_a_collector_nothing_is_recorded_whatever_callers_say() {
    let mesh = Mesh::with(&["--otlp-endpoint", ""], &[]).await;
    let sampled = "00-bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb-00f067aa0ba902b7-01";
    let answer = proxied(&mesh, "Ana", sampled).await;
    assert_eq!(answer.status, 200);
    let page = scrape(mesh.edge.addresses().scrape).await;
    for series in [EXPORTED, QUEUE_FULL, FAILED] {
        assert_eq!(page.value(series), Some(0.0), "{series}");
    }
}

#[tokio::test]
async fn a_failed_call_has_one_trace_in_its_log_its_exemplar_and_its_span() {
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
        Some("fault on demand: the name asked for INTERNAL")
    );
}

#[tokio::test]
async fn a_call_that_its_caller_gives_up_is_logged_and_recorded_as_its_doing() {
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

    // It begins a request and never ends it.
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

#[tokio::test]
async fn a_setting_that_is_wrong_ends_the_start_with_an_example() {
    for (flag, variable, wrong, example) in [
        (
            "--otlp-endpoint",
            "OTEL_EXPORTER_OTLP_ENDPOINT",
            "collector:4317",
            "http://127.0.0.1:4317",
        ),
        ("--trace-ratio", "OTEL_TRACES_SAMPLER_ARG", "2", "0.1"),
    ] {
        for ended in [
            run("time", &[flag, wrong], &[]).await,
            run("time", &[], &[(variable, wrong)]).await,
        ] {
            let said = String::from_utf8(ended.stderr).unwrap();
            assert_eq!(ended.status.code(), Some(2), "{said}");
            assert_eq!(said.lines().count(), 1, "{said}");
            assert!(said.contains(flag) && said.contains(example), "{said}");
        }
    }
}
