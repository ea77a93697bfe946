//! The spans of a request and of a task: their parents, attributes and failures.

use std::collections::BTreeSet;

use opentelemetry_proto::tonic::trace::v1::span::SpanKind;
use vitalmesh_tests::{Collector, HttpResponse, SeenSpan, eventually, free_address, get};

use crate::fixture::{
    CLIENT, PROXY, REVERT, ROOT, SERVER, TIME, TREE, exemplars, trace_id, traced,
};

const BEAT: &str = "vitalmesh.heartbeat.v1.HeartbeatService/BeatHeart";

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
    let response = get(mesh.http(), "/proxy/Ana").await;
    let spans = collector.trace(&trace_id(&response), TREE).await;
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
    assert_eq!(trace_parent(&response), root.span_id);
    for (inner, outer) in [(client, root), (server, client)] {
        assert!(inner.started >= outer.started, "{inner:?} in {outer:?}");
        assert!(inner.took <= outer.took, "{inner:?} in {outer:?}");
    }
    assert!(spans.iter().all(|span| span.failure.is_none()));

    let id = trace_id(&response);
    for (service, side) in [
        (&mesh.edge, "client"),
        (&mesh.revert_name, "server"),
        (&mesh.time, "server"),
    ] {
        assert_eq!(exemplars(service.addresses().scrape, side).await, [&*id]);
    }
}

/// The span id of a REST response.
fn trace_parent(response: &HttpResponse) -> &str {
    response.header("traceresponse").split('-').nth(2).unwrap()
}

#[tokio::test]
async fn spans_have_the_attributes_of_the_conventions_and_their_service() {
    let collector = Collector::start().await;
    let mesh = traced(&collector, &[]).await;
    let response = get(mesh.http(), "/proxy/not_found").await;
    assert_eq!(response.status, 404);
    let trace_id = trace_id(&response);
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
    // NOT_FOUND is a failure for the client but not a fault of the server.
    assert_eq!(
        client.failure.as_deref(),
        Some("fault on demand: the name requests NOT_FOUND")
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
async fn a_fault_of_a_server_fails_every_span_above_it() {
    let collector = Collector::start().await;
    let mesh = traced(&collector, &[]).await;
    let response = get(mesh.http(), "/proxy/exception").await;
    assert_eq!(response.status, 500);
    for of in [ROOT, CLIENT, SERVER] {
        let span = collector.span(&trace_id(&response), of).await;
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
        // GET /heartbeats names the instance of the spans.
        let made_by = &spans.iter().find(of_leaf).unwrap().resource["service.instance.id"];
        let seen = get(mesh.http(), "/heartbeats").await.body;
        assert!(
            seen.contains(&format!("\"{made_by}\"")),
            "{made_by} in {seen}"
        );
    }
}

#[tokio::test]
async fn a_failed_task_fails_its_span() {
    let collector = Collector::start().await;
    let (url, unreachable) = (collector.url(), format!("http://{}", free_address()));
    let flags = ["--otlp-endpoint", &url, "--edge-url", &unreachable];
    let leaf = vitalmesh_tests::time(&flags).start().await.unwrap();
    let beat = eventually("a failed beat", async || {
        let spans = collector.spans().into_iter();
        spans.rev().find(|span| span.kind == SpanKind::Internal)
    });
    let failure = beat.await.failure.unwrap();
    assert!(failure.contains("cannot connect"), "{failure}");
    leaf.stop().await;
}
