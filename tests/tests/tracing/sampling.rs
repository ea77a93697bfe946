//! Which traces are recorded, and settings that are invalid.

use http::Request;
use vitalmesh_tests::{Collector, HttpResponse, Mesh, get, run, scrape, send};

use crate::fixture::{EXPORTED, FAILED, QUEUE_FULL, ROOT, TREE, trace_id, traced};

async fn proxied(mesh: &Mesh, name: &str, traceparent: &str) -> HttpResponse {
    let request = Request::get(format!("/proxy/{name}")).header("traceparent", traceparent);
    send(mesh.http(), request).await.unwrap()
}

#[tokio::test]
async fn a_trace_follows_its_callers_flag_or_the_ratio() {
    let collector = Collector::start().await;
    let mesh = traced(&collector, &["--trace-ratio", "0"]).await;
    let unsampled = "00-aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa-00f067aa0ba902b7-00";
    let sampled = "00-bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb-00f067aa0ba902b7-01";
    for response in [
        get(mesh.http(), "/proxy/Ana").await,
        proxied(&mesh, "Ana", unsampled).await,
    ] {
        assert_eq!(
            (response.status, response.header("traceresponse")),
            (200, "")
        );
    }
    let response = proxied(&mesh, "Ana", sampled).await;
    assert_eq!(trace_id(&response), "b".repeat(32));
    let spans = collector.trace(&"b".repeat(32), TREE).await;
    let root = spans.iter().find(|span| span.is(ROOT)).unwrap();
    assert_eq!(root.parent_id, "00f067aa0ba902b7");
    mesh.stop().await;
    assert_eq!(collector.spans().len(), TREE);
}

#[tokio::test]
async fn without_a_collector_nothing_is_recorded_whatever_the_flag() {
    let mesh = Mesh::with(&["--otlp-endpoint", ""], &[]).await;
    let sampled = "00-bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb-00f067aa0ba902b7-01";
    let response = proxied(&mesh, "Ana", sampled).await;
    assert_eq!(response.status, 200);
    let page = scrape(mesh.edge.addresses().scrape).await;
    for series in [EXPORTED, QUEUE_FULL, FAILED] {
        assert_eq!(page.value(series), Some(0.0), "{series}");
    }
}

#[tokio::test]
async fn an_invalid_setting_aborts_startup_with_an_example() {
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
            let stderr = String::from_utf8(ended.stderr).unwrap();
            assert_eq!(ended.status.code(), Some(2), "{stderr}");
            assert_eq!(stderr.lines().count(), 1, "{stderr}");
            assert!(
                stderr.contains(flag) && stderr.contains(example),
                "{stderr}"
            );
        }
    }
}
