//! M12: both formats pass the parsers that others wrote.
//!
//! Needs `promtool` and a `python3` with `prometheus_client`, hence ignored:
//! `cargo test -p grpc-prometheus --test reference_parsers -- --ignored`. `PATH` chooses the
//! `python3`.

#![expect(clippy::unwrap_used, reason = "helpers of tests fail as tests do")]

use std::{
    convert::Infallible,
    io::Write,
    process::{Command, Stdio},
};

use grpc_prometheus::{Buckets, ClientMetrics, CodeLabel, RequestBody, ServerMetrics, TraceId};
use http::{Request, Response};
use prometheus::{Histogram, HistogramOpts, IntCounterVec, Opts, Registry};
use prost::Message;
use prost_types::{
    FileDescriptorProto, FileDescriptorSet, MethodDescriptorProto, ServiceDescriptorProto,
};
use tower::{Layer, ServiceExt, service_fn};

const PYTHON: &str = "
import sys
from prometheus_client.openmetrics.parser import text_string_to_metric_families as parse
families = list(parse(sys.stdin.read()))
exemplars = [s for f in families for s in f.samples if s.exemplar]
print(len(families), len(exemplars))
";

fn descriptor_set() -> Vec<u8> {
    let method = |name: &str| MethodDescriptorProto {
        name: Some(name.into()),
        ..Default::default()
    };
    let service = ServiceDescriptorProto {
        name: Some("S".into()),
        method: vec![method("Do"), method("a\"b\\c\nd")],
        ..Default::default()
    };
    let file = FileDescriptorProto {
        package: Some("p".into()),
        service: vec![service],
        ..Default::default()
    };
    FileDescriptorSet { file: vec![file] }.encode_to_vec()
}

/// Everything that the crate can show, and metrics of somebody else.
async fn everything() -> Registry {
    let registry = Registry::new();
    let server = ServerMetrics::builder()
        .descriptor_set(&descriptor_set())
        .const_label("zone", "a\"b")
        .const_label("app", "x")
        .handling_buckets(Buckets::A66)
        .message_sizes(Buckets::A66Bytes)
        .code_on_histogram(CodeLabel::OkError)
        .exemplars(true)
        .register(&registry)
        .unwrap();
    let client = ClientMetrics::builder()
        .descriptor_set(&descriptor_set())
        .message_times(Buckets::Fine)
        .register(&registry)
        .unwrap();
    drop(server.connection(()));
    let service = service_fn(|_: Request<RequestBody<String>>| async {
        let response = Response::builder().header("grpc-status", "0");
        Ok::<_, Infallible>(response.body(String::new()).unwrap())
    });
    for path in ["/p.S/Do", "/p.S/Else", "/no.Such/Thing"] {
        let request = Request::post(path)
            .header("content-type", "application/grpc")
            .extension(TraceId(*b"0123456789abcdef"));
        let request = request.body(String::new()).unwrap();
        server
            .layer()
            .layer(service)
            .oneshot(request.clone())
            .await
            .unwrap();
        client
            .layer()
            .unboxed()
            .layer(service)
            .oneshot(request)
            .await
            .unwrap();
    }
    let jobs = IntCounterVec::new(Opts::new("jobs_total", "Jobs \"done\"."), &["kind"]).unwrap();
    jobs.with_label_values(&["a\"b\\c\nd"]).inc();
    let waits = Histogram::with_opts(HistogramOpts::new("wait_seconds", "Waits.")).unwrap();
    waits.observe(0.3);
    registry.register(Box::new(jobs)).unwrap();
    registry.register(Box::new(waits)).unwrap();
    registry
}

fn pipe(command: &mut Command, input: &str) -> (bool, String) {
    let command = command.stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut child = command.stderr(Stdio::piped()).spawn().unwrap();
    child
        .stdin
        .take()
        .unwrap()
        .write_all(input.as_bytes())
        .unwrap();
    let output = child.wait_with_output().unwrap();
    let text = [output.stdout, output.stderr].concat();
    (output.status.success(), String::from_utf8(text).unwrap())
}

#[tokio::test]
#[ignore = "needs promtool"]
async fn promtool_has_nothing_to_say_about_the_text() {
    let (_, page) = grpc_prometheus::encode(&everything().await, None);
    let (ok, said) = pipe(Command::new("promtool").args(["check", "metrics"]), &page);
    assert_eq!((ok, said.as_str()), (true, ""));
}

#[tokio::test]
#[ignore = "needs python3 with prometheus_client"]
async fn python_reads_the_openmetrics_and_its_exemplars() {
    let accept = Some("application/openmetrics-text; version=1.0.0");
    let (_, page) = grpc_prometheus::encode(&everything().await, accept);
    let (ok, said) = pipe(Command::new("python3").args(["-c", PYTHON]), &page);
    // 11 families of the server, 8 of the client, 2 of somebody else; 3 calls in 1 or 2 buckets
    // of each of the 3 methods.
    assert!(ok, "{said}");
    assert_eq!(said.trim(), "21 3");
}
