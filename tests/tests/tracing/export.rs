//! Spans on their way to collectors that are there, late, silent or missing.

use std::time::Duration;

use vitalmesh_tests::{Collector, Mesh, eventually, free_address, get, scrape, within};

use crate::fixture::{EXPORTED, FAILED, QUEUE_FULL, ROOT, TREE, trace_id, traced};

#[tokio::test]
async fn the_last_spans_are_exported_before_a_service_has_stopped() {
    let collector = Collector::start().await;
    let mesh = traced(&collector, &[]).await;
    let response = get(mesh.http(), "/proxy/Ana").await;
    let trace_id = trace_id(&response);
    mesh.stop().await;
    let mut spans = collector.spans();
    spans.retain(|span| span.trace_id == trace_id);
    assert_eq!(spans.len(), TREE);
}

#[tokio::test]
async fn an_unreachable_collector_affects_no_call_and_lost_spans_are_counted() {
    let unreachable = format!("http://{}", free_address());
    let flags = ["--otlp-endpoint", &unreachable];
    let mesh = Mesh::with(&flags, &flags).await;
    for _ in 0..10 {
        assert_eq!(get(mesh.http(), "/proxy/Ana").await.status, 200);
    }
    // Three spans per request, and at least those of the edge's task and of two beats.
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
async fn a_collector_that_starts_late_gets_the_spans_that_end_from_then_on() {
    let address = free_address();
    let flags = ["--otlp-endpoint", &format!("http://{address}")];
    let mesh = Mesh::with(&flags, &[]).await;
    let value = async |series| scrape(mesh.edge.addresses().scrape).await.value(series);
    eventually("a loss", async || {
        (value(FAILED).await? > 0.0).then_some(())
    })
    .await;
    let collector = Collector::start_at(address).await;
    let response = get(mesh.http(), "/proxy/Ana").await;
    let root = collector.span(&trace_id(&response), ROOT).await;
    assert_eq!(root.failure, None);
    eventually("a success", async || {
        (value(EXPORTED).await? >= 3.0).then_some(())
    })
    .await;
}

#[tokio::test]
async fn a_silent_collector_delays_no_call_and_the_queue_is_bounded() {
    let collector = Collector::start_silent().await;
    let mesh = traced(&collector, &[]).await;
    let one = async || {
        let response = get(mesh.http(), "/proxy/Ana");
        let (response, took) = within(Duration::from_secs(2), response).await;
        assert_eq!(response.status, 200);
        took
    };
    // 512 spans are in the request without a response, 2048 wait; each request adds three.
    let page = eventually("a full queue", async || {
        for _ in 0..100 {
            one().await;
        }
        let page = scrape(mesh.edge.addresses().scrape).await;
        (page.value(QUEUE_FULL)? > 0.0).then_some(page)
    });
    assert_eq!(page.await.value(EXPORTED), Some(0.0));
    // It does not delay the stop either.
    within(Duration::from_secs(6), Box::pin(mesh.stop())).await;
}
