//! The log lines of the programs, as a collector receives them.
#![expect(clippy::unwrap_used, reason = "tests fail by panicking")]

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use rustix::process::Signal;
use serde_json::Value;
use tokio::task::JoinSet;
use tonic::transport::Channel;
use tonic::{Code, Request};
use vitalmesh_proto::revert_name::v1::RevertNameRequest;
use vitalmesh_proto::revert_name::v1::revert_name_service_client::RevertNameServiceClient;
use vitalmesh_tests::{
    Collector, Program, SeenSpan, channel, eventually, free_address, scrape, within,
};

const EXPORTED: &str = "mesh_log_lines_exported_total";
const QUEUE_FULL: &str = "mesh_log_lines_dropped_total{reason=\"queue_full\"}";
const FAILED: &str = "mesh_log_lines_dropped_total{reason=\"export_failed\"}";

/// Makes a call to revert-name that fails on demand, in a trace.
async fn fail(leaf: &Program, trace_id: &str, flags: &str) {
    fail_over(channel(leaf.address("grpc").await), trace_id, flags).await;
}

async fn fail_over(channel: Channel, trace_id: &str, flags: &str) {
    let mut request = Request::new(RevertNameRequest {
        name: "internal".to_owned(),
        delay: 0,
    });
    let traceparent = format!("00-{trace_id}-00f067aa0ba902b7-{flags}");
    let metadata = request.metadata_mut();
    metadata.insert("traceparent", traceparent.parse().unwrap());
    let mut client = RevertNameServiceClient::new(channel);
    let ended = client.revert_name(request).await.unwrap_err();
    assert_eq!(ended.code(), Code::Internal);
}

async fn revert(channel: Channel) {
    let request = RevertNameRequest {
        name: "Ana".to_owned(),
        delay: 0,
    };
    let mut client = RevertNameServiceClient::new(channel);
    client.revert_name(request).await.unwrap();
}

/// The fields of a line on standard error that are attributes of the exported record.
fn fields(line: &Value) -> Vec<(String, String)> {
    let own = ["level", "message", "service", "timestamp", "trace_id"];
    let fields = line.as_object().unwrap().iter();
    fields
        .filter(|(key, _)| !own.contains(&key.as_str()))
        .map(|(key, value)| match value {
            Value::String(text) => (key.clone(), text.clone()),
            value => (key.clone(), value.to_string()),
        })
        .collect()
}

#[tokio::test]
async fn a_calls_line_is_exported_with_the_fields_of_the_log_and_the_ids_of_its_span() {
    let collector = Collector::start().await;
    let leaf = Program::service("revert-name", &["--otlp-endpoint", &collector.url()]);
    let trace_id = "b".repeat(32);
    fail(&leaf, &trace_id, "01").await;

    let logged = leaf.logged("call ended").await;
    let sent = collector.line("call ended").await;
    let spans: [SeenSpan; 1] = collector.trace(&trace_id, 1).await.try_into().unwrap();
    let [span] = spans;
    assert_eq!(
        (&sent.service, &sent.resource),
        (&span.service, &span.resource)
    );
    assert_eq!((&*sent.level, sent.severity), ("WARN", 13));
    assert_eq!(logged["level"], "WARN");
    assert_eq!(sent.trace_id, trace_id);
    assert_eq!(logged["trace_id"], trace_id);
    assert_eq!(sent.span_id, span.span_id);
    assert!(sent.sampled);
    assert_eq!(Vec::from_iter(sent.attributes), fields(&logged));
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    assert!(span.started <= sent.at && sent.at <= now, "{:?}", sent.at);
}

#[tokio::test]
async fn a_line_is_exported_without_a_recorded_trace() {
    let collector = Collector::start().await;
    let leaf = Program::service("revert-name", &["--otlp-endpoint", &collector.url()]);
    let trace_id = "c".repeat(32);
    fail(&leaf, &trace_id, "00").await;
    let sent = collector.line("call ended").await;
    assert_eq!((&sent.trace_id, sent.sampled), (&trace_id, false));
    let mut spans = collector.spans();
    spans.retain(|span| span.trace_id == sent.trace_id);
    assert_eq!(spans, []);
}

#[tokio::test]
async fn every_line_from_start_to_stop_is_exported() {
    let collector = Collector::start().await;
    // Without heartbeats one thread logs, so that both outputs have one order.
    let flags = [
        "--otlp-endpoint",
        &collector.url(),
        "--heartbeat-cron",
        "off",
    ];
    let leaf = Program::service("time", &flags);
    let page = leaf.address("scrape").await;
    let serving = collector.line("serving").await;
    assert_eq!(
        (serving.service.as_str(), serving.trace_id.as_str()),
        ("time", "")
    );
    eventually("the line is counted", async || {
        (scrape(page).await.value(EXPORTED)? >= 1.0).then_some(())
    })
    .await;
    leaf.signal(Signal::TERM);
    let (status, logged) = leaf.ended().await;
    assert!(status.success());
    let logged = logged.iter().map(|line| {
        let line: Value = serde_json::from_str(line).unwrap();
        line["message"].as_str().unwrap().to_owned()
    });
    // The exporter has stopped before the last line.
    let logged: Vec<_> = logged.filter(|message| message != "stopped").collect();
    let sent: Vec<_> = collector
        .lines()
        .into_iter()
        .map(|line| line.message)
        .collect();
    assert_eq!(sent, logged);
}

#[tokio::test]
async fn every_admitted_line_is_exported_except_those_of_exporting() {
    let collector = Collector::start().await;
    let flags = ["--otlp-endpoint", &collector.url(), "--log-level", "trace"];
    let leaf = Program::service("time", &flags);
    // Each export logs these lines.
    eventually("a line of an export", async || {
        let lines = leaf.lines();
        lines
            .iter()
            .any(|line| line.contains("\"h2::"))
            .then_some(())
    })
    .await;
    collector.line("serving").await;
    leaf.signal(Signal::TERM);
    let (status, logged) = leaf.ended().await;
    assert!(status.success());

    let logged = logged.iter().map(|line| {
        let line: Value = serde_json::from_str(line).unwrap();
        let text = |key: &str| line[key].as_str().map(str::to_owned);
        let target = text("target").unwrap();
        let message = text("message").unwrap_or_else(|| target.clone());
        (target, message)
    });
    let caused = |target: &str| target.starts_with("h2::") || target.starts_with("hyper_util::");
    let expected = logged.filter(|(target, message)| !caused(target) && message != "stopped");
    let sent = collector.lines().into_iter();
    let sent = sent.map(|mut line| (line.attributes.remove("target").unwrap(), line.message));
    // Tasks on different threads may log in one order and queue in another.
    let sorted = |mut lines: Vec<(String, String)>| {
        lines.sort_unstable();
        lines
    };
    let sent = sorted(sent.collect());
    assert_eq!(sent, sorted(expected.collect()));
    // A crate that is not of the mesh.
    let other = sent
        .iter()
        .any(|(target, _)| target.starts_with("tokio_cron_scheduler::"));
    assert!(other, "{sent:?}");
}

#[tokio::test]
async fn lines_without_a_collector_are_counted_and_warned_about_once() {
    let unreachable = format!("http://{}", free_address());
    let leaf = Program::service("revert-name", &["--otlp-endpoint", &unreachable]);
    let page = leaf.address("scrape").await;
    let lost = leaf
        .logged("cannot export log lines, they are dropped")
        .await;
    assert_eq!(lost["level"], "WARN");
    for digit in ["1", "2", "3"] {
        fail(&leaf, &digit.repeat(32), "00").await;
    }
    // The first line, the two warnings, and those of the calls.
    let page = eventually("the loss is counted", async || {
        let page = scrape(page).await;
        (page.value(FAILED)? >= 5.0).then_some(page)
    });
    let page = page.await;
    assert_eq!(page.value(EXPORTED), Some(0.0));
    assert_eq!(page.value(QUEUE_FULL), Some(0.0));
    let warnings = leaf
        .lines()
        .iter()
        .filter(|line| line.contains("cannot export log lines"))
        .count();
    assert_eq!(warnings, 1);
}

#[tokio::test]
async fn a_silent_collector_fills_the_queue_and_does_not_delay_the_stop() {
    let collector = Collector::start_silent().await;
    // Lines below WARN are not limited.
    let level = ["--log-level", "info,vitalmesh::call=debug"];
    let flags = ["--otlp-endpoint", &collector.url()];
    let leaf = Program::service("revert-name", &[flags, level].concat());
    let page = leaf.address("scrape").await;
    // 512 lines are in the request without a response, 2048 wait.
    let channel = channel(leaf.address("grpc").await);
    let full = eventually("a full queue", async || {
        let mut calls = JoinSet::new();
        for _ in 0..200 {
            let channel = channel.clone();
            calls.spawn(async { revert(channel).await });
        }
        calls.join_all().await;
        let page = scrape(page).await;
        (page.value(QUEUE_FULL)? > 0.0).then_some(page)
    });
    assert_eq!(full.await.value(EXPORTED), Some(0.0));
    leaf.signal(Signal::TERM);
    let ((status, _), _) = within(Duration::from_secs(8), leaf.ended()).await;
    assert!(status.success());
}
