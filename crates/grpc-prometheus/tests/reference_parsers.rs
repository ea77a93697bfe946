//! M12: independent parsers accept both formats.
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

use grpc_prometheus::{Buckets, ClientMetrics, CodeLabel, Exposition, ServerMetrics, TraceId};
use http::{Request, Response};
use prometheus::{Histogram, HistogramOpts, IntCounter, IntCounterVec, Opts, TextEncoder};
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

/// Three pages of one registry: our text, our OpenMetrics, and the prometheus crate's text.
const PYTHON_SAME: &str = "
import json, sys
from prometheus_client.parser import text_string_to_metric_families as text
from prometheus_client.openmetrics.parser import text_string_to_metric_families as openmetrics

def samples(parse, page):
    for family in parse(page):
        for sample in family.samples:
            labels = dict(sample.labels)
            if 'le' in labels:
                labels['le'] = float(labels['le'])
            yield sample.name, sorted(labels.items(), key=str), float(sample.value)

pages = sys.stdin.buffer.read().decode().split('\\0')
ours, other, crate = (
    sorted(samples(parse, page), key=str) for parse, page in zip((text, openmetrics, text), pages)
)
assert ours == other, [pair for pair in zip(ours, other) if pair[0] != pair[1]][:3]
assert ours == crate, [pair for pair in zip(ours, crate) if pair[0] != pair[1]][:3]
server = [s for s in ours if s[0] == 'grpc_server_started_total']
values = [value for name, value in server[0][1] if name.startswith('odd')]
methods = sorted({dict(s[1])['grpc_method'] for s in server})
sys.stdout.buffer.write(json.dumps([values, methods], ensure_ascii=False).encode())
";

/// Values that end a label, a line or a page if they are not escaped.
const ODD: [&str; 11] = [
    "",
    " a ",
    "a\"b",
    "a\\",
    "\\n",
    "\\\"",
    "a\nb",
    "a\r\tb",
    "{a=\"b\",} 1 # {c=\"d\"} 2",
    "ü €\u{2028}𝄞",
    "# EOF",
];

fn descriptor_set() -> Vec<u8> {
    let method = |name: &str| MethodDescriptorProto {
        name: Some(name.into()),
        ..Default::default()
    };
    let service = ServiceDescriptorProto {
        name: Some("S".into()),
        method: ["Do"].into_iter().chain(ODD).map(method).collect(),
        ..Default::default()
    };
    let file = FileDescriptorProto {
        package: Some("p".into()),
        service: vec![service],
        ..Default::default()
    };
    FileDescriptorSet { file: vec![file] }.encode_to_vec()
}

async fn answer<B>(_: Request<B>) -> Result<Response<String>, Infallible> {
    let response = Response::builder().header("grpc-status", "0");
    Ok(response.body(String::new()).unwrap())
}

/// Everything that the crate exposes, and metrics of another collector.
async fn everything() -> Exposition {
    let exposition = Exposition::default();
    let odd = ODD.into_iter().enumerate();
    let server = odd
        .fold(ServerMetrics::builder(), |builder, (index, value)| {
            builder.const_label(format!("odd{index:02}"), value)
        })
        .descriptor_set(&descriptor_set())
        .const_label("app", "x")
        .handling_buckets(Buckets::A66)
        .message_sizes(Buckets::A66Bytes)
        .code_on_histogram(CodeLabel::OkError)
        .exemplars(true)
        .register(&exposition)
        .unwrap();
    let client = ClientMetrics::builder()
        .descriptor_set(&descriptor_set())
        .message_times(Buckets::Fine)
        .handling_buckets(Buckets::Custom(vec![
            0.0, 5e-324, 1e-12, 0.00001, 0.3, 1.0, 1e6, 1e300,
        ]))
        .register(&exposition)
        .unwrap();
    drop(server.connection(()));
    for path in ["/p.S/Do", "/p.S/Else", "/no.Such/Thing"] {
        let request = Request::post(path)
            .header("content-type", "application/grpc")
            .extension(TraceId(*b"0123456789abcdef"));
        let request = request.body(String::new()).unwrap();
        server
            .layer()
            .layer(service_fn(answer))
            .oneshot(request.clone())
            .await
            .unwrap();
        client
            .layer()
            .unboxed()
            .layer(service_fn(answer))
            .oneshot(request)
            .await
            .unwrap();
    }
    let jobs = IntCounterVec::new(Opts::new("jobs_total", "Jobs \"done\"."), &["kind"]).unwrap();
    jobs.with_label_values(&["a\"b\\c\nd"]).inc();
    let waits = Histogram::with_opts(HistogramOpts::new("wait_seconds", "Waits.")).unwrap();
    waits.observe(0.3);
    exposition.registry().register(Box::new(jobs)).unwrap();
    exposition.registry().register(Box::new(waits)).unwrap();
    exposition
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
    let (_, page) = everything().await.encode(None);
    let (ok, said) = pipe(Command::new("promtool").args(["check", "metrics"]), &page);
    assert_eq!((ok, said.as_str()), (true, ""));
}

#[tokio::test]
#[ignore = "needs python3 with prometheus_client"]
async fn python_reads_the_openmetrics_and_its_exemplars() {
    let accept = Some("application/openmetrics-text; version=1.0.0");
    let (_, page) = everything().await.encode(accept);
    let (ok, said) = pipe(Command::new("python3").args(["-c", PYTHON]), &page);
    // 11 families of the server, 8 of the client, 2 of the other collector; 3 calls in 1 or 2
    // buckets of each of the 3 methods.
    assert!(ok, "{said}");
    assert_eq!(said.trim(), "21 3");
}

#[tokio::test]
#[ignore = "needs python3 with prometheus_client"]
async fn python_reads_the_same_from_both_formats_and_every_odd_value_as_it_was() {
    let exposition = everything().await;
    let (_, text) = exposition.encode(None);
    let accept = Some("application/openmetrics-text; version=1.0.0");
    let (_, openmetrics) = exposition.encode(accept);
    let gathered = TextEncoder::new().encode_to_string(&exposition.registry().gather());
    let pages = [text, openmetrics, gathered.unwrap()].join("\0");
    let (ok, said) = pipe(Command::new("python3").args(["-c", PYTHON_SAME]), &pages);
    assert!(ok, "{said}");
    let mut methods: Vec<_> = ODD.into_iter().chain(["Do", "unknown"]).collect();
    methods.sort_unstable();
    let json = |values: &[&str]| {
        let values: Vec<_> = values.iter().map(|value| escaped(value)).collect();
        format!("[{}]", values.join(", "))
    };
    assert_eq!(said, format!("[{}, {}]", json(&ODD), json(&methods)));
}

/// The names of samples: of the text as they stand there, since Python's parser of it renames
/// counters, and of OpenMetrics.
const PYTHON_NAMES: &str = "
import re, sys
from prometheus_client.openmetrics.parser import text_string_to_metric_families as openmetrics

text, other = sys.stdin.read().split('\\0')
ours = sorted(set(re.findall(r'^\\w+', text, re.MULTILINE)))
other = sorted({sample.name for family in openmetrics(other) for sample in family.samples})
created = [name for name in other if name.endswith('_created')]
assert ours == [name for name in other if name not in created], (ours, other)
print(len(created), *(name for name in ours if not name.startswith('grpc_')))
";

#[tokio::test]
#[ignore = "needs python3 with prometheus_client"]
async fn python_reads_the_registered_names_from_both_formats() {
    let exposition = Exposition::default();
    ServerMetrics::builder()
        .descriptor_set(&descriptor_set())
        .start_timestamps(true)
        .register(&exposition)
        .unwrap();
    for name in ["hits", "hits_total", "jobs", "wait_seconds_count"] {
        let counter = IntCounter::new(name, "Theirs.").unwrap();
        exposition.registry().register(Box::new(counter)).unwrap();
    }
    let waits = Histogram::with_opts(HistogramOpts::new("wait_seconds", "Waits.")).unwrap();
    exposition.registry().register(Box::new(waits)).unwrap();
    let (_, text) = exposition.encode(None);
    let accept = Some("application/openmetrics-text; version=1.0.0");
    let pages = [text, exposition.encode(accept).1].join("\0");
    let (ok, said) = pipe(Command::new("python3").args(["-c", PYTHON_NAMES]), &pages);
    assert!(ok, "{said}");
    let expected = "5 hits hits_total jobs wait_seconds_bucket wait_seconds_count wait_seconds_sum";
    assert_eq!(said.trim(), expected);
}

/// Like Python's `json`.
fn escaped(text: &str) -> String {
    let text = text.replace('\\', "\\\\").replace('"', "\\\"");
    let text = text.replace('\n', "\\n").replace('\r', "\\r");
    format!("\"{}\"", text.replace('\t', "\\t"))
}
