//! An OTLP collector that stores the spans and log lines it receives, decoded by the types of the
//! official crate opentelemetry-proto.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use opentelemetry_proto::tonic::collector::logs::v1::logs_service_server::{
    LogsService, LogsServiceServer,
};
use opentelemetry_proto::tonic::collector::logs::v1::{
    ExportLogsServiceRequest, ExportLogsServiceResponse,
};
use opentelemetry_proto::tonic::collector::trace::v1::trace_service_server::{
    TraceService, TraceServiceServer,
};
use opentelemetry_proto::tonic::collector::trace::v1::{
    ExportTraceServiceRequest, ExportTraceServiceResponse,
};
use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::common::v1::{AnyValue, KeyValue};
use opentelemetry_proto::tonic::logs::v1::{LogRecord, ResourceLogs};
use opentelemetry_proto::tonic::trace::v1::span::SpanKind;
use opentelemetry_proto::tonic::trace::v1::status::StatusCode;
use opentelemetry_proto::tonic::trace::v1::{ResourceSpans, Span, Status};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tonic::transport::Server;
use tonic::transport::server::TcpIncoming;
use tonic::{Request, Response};

use crate::eventually;

/// A running collector; dropping it stops it.
#[derive(Debug)]
pub struct Collector {
    address: SocketAddr,
    seen: Seen,
    server: JoinHandle<()>,
}

/// A span that a collector received. Attribute values are texts.
#[derive(Clone, Debug, PartialEq)]
pub struct SeenSpan {
    pub service: String,
    pub resource: BTreeMap<String, String>,
    pub name: String,
    pub kind: SpanKind,
    pub trace_id: String,
    pub span_id: String,
    /// Empty for a root span.
    pub parent_id: String,
    pub attributes: BTreeMap<String, String>,
    /// The error description of a failed span.
    pub failure: Option<String>,
    /// The time since 1970.
    pub started: Duration,
    pub took: Duration,
}

/// A log line that a collector received. Attribute values are texts.
#[derive(Clone, Debug, PartialEq)]
pub struct SeenLine {
    pub service: String,
    pub resource: BTreeMap<String, String>,
    pub level: String,
    pub severity: i32,
    pub message: String,
    /// Empty for a line outside of calls.
    pub trace_id: String,
    pub span_id: String,
    pub sampled: bool,
    pub attributes: BTreeMap<String, String>,
    /// The time since 1970.
    pub at: Duration,
}

/// Everything that a collector has received.
#[derive(Clone, Debug, Default)]
struct Seen {
    spans: Arc<Mutex<Vec<SeenSpan>>>,
    lines: Arc<Mutex<Vec<SeenLine>>>,
}

#[derive(Clone, Debug)]
struct Handler {
    seen: Seen,
    responds: bool,
}

// === impl Collector ===

impl Collector {
    /// A collector on a free port.
    pub async fn start() -> Self {
        Self::start_at(([127, 0, 0, 1], 0).into()).await
    }

    /// A collector on this address.
    pub async fn start_at(address: SocketAddr) -> Self {
        Self::serve(address, true).await
    }

    /// A collector that accepts requests and never responds.
    pub async fn start_silent() -> Self {
        Self::serve(([127, 0, 0, 1], 0).into(), false).await
    }

    async fn serve(address: SocketAddr, responds: bool) -> Self {
        let listener = TcpListener::bind(address).await.unwrap();
        let address = listener.local_addr().unwrap();
        let seen = Seen::default();
        let handler = Handler {
            seen: seen.clone(),
            responds,
        };
        let server = tokio::spawn(async move {
            let incoming = TcpIncoming::from(listener);
            let server = Server::builder()
                .add_service(TraceServiceServer::new(handler.clone()))
                .add_service(LogsServiceServer::new(handler));
            server.serve_with_incoming(incoming).await.unwrap();
        });
        Self {
            address,
            seen,
            server,
        }
    }

    /// The value for `--otlp-endpoint`.
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// All spans received so far.
    pub fn spans(&self) -> Vec<SeenSpan> {
        self.seen.spans.lock().unwrap().clone()
    }

    /// All log lines received so far.
    pub fn lines(&self) -> Vec<SeenLine> {
        self.seen.lines.lock().unwrap().clone()
    }

    /// Waits for a log line with this message.
    pub async fn line(&self, message: &str) -> SeenLine {
        eventually(message, async || {
            let mut lines = self.lines().into_iter();
            lines.find(|line| line.message == message)
        })
        .await
    }

    /// Waits for this many spans of one trace.
    pub async fn trace(&self, trace_id: &str, count: usize) -> Vec<SeenSpan> {
        eventually("the spans of a trace", async || {
            let mut spans = self.spans();
            spans.retain(|span| span.trace_id == trace_id);
            (spans.len() >= count).then_some(spans)
        })
        .await
    }

    /// Waits for the span of a trace with this service, kind and name.
    pub async fn span(&self, trace_id: &str, of: (&str, SpanKind, &str)) -> SeenSpan {
        eventually("a span of a trace", async || {
            let mut spans = self.spans().into_iter();
            spans.find(|span| span.trace_id == trace_id && span.is(of))
        })
        .await
    }
}

impl Drop for Collector {
    fn drop(&mut self) {
        self.server.abort();
    }
}

#[tonic::async_trait]
impl TraceService for Handler {
    async fn export(
        &self,
        request: Request<ExportTraceServiceRequest>,
    ) -> Result<Response<ExportTraceServiceResponse>, tonic::Status> {
        let sent = request.into_inner().resource_spans.into_iter();
        keep(&self.seen.spans, sent.flat_map(seen_spans));
        self.respond(ExportTraceServiceResponse::default()).await
    }
}

#[tonic::async_trait]
impl LogsService for Handler {
    async fn export(
        &self,
        request: Request<ExportLogsServiceRequest>,
    ) -> Result<Response<ExportLogsServiceResponse>, tonic::Status> {
        let sent = request.into_inner().resource_logs.into_iter();
        keep(&self.seen.lines, sent.flat_map(seen_lines));
        self.respond(ExportLogsServiceResponse::default()).await
    }
}

impl Handler {
    async fn respond<T>(&self, response: T) -> Result<Response<T>, tonic::Status> {
        if !self.responds {
            std::future::pending::<()>().await;
        }
        Ok(Response::new(response))
    }
}

fn keep<T>(kept: &Mutex<Vec<T>>, new: impl Iterator<Item = T>) {
    kept.lock().unwrap().extend(new);
}

fn seen_spans(sent: ResourceSpans) -> impl Iterator<Item = SeenSpan> {
    let resource = texts(sent.resource.unwrap_or_default().attributes);
    let spans = sent.scope_spans.into_iter().flat_map(|scope| scope.spans);
    spans.map(move |span| SeenSpan::new(&resource, span))
}

fn seen_lines(sent: ResourceLogs) -> impl Iterator<Item = SeenLine> {
    let resource = texts(sent.resource.unwrap_or_default().attributes);
    let lines = sent.scope_logs.into_iter();
    let lines = lines.flat_map(|scope| scope.log_records);
    lines.map(move |line| SeenLine::new(&resource, line))
}

fn texts(attributes: Vec<KeyValue>) -> BTreeMap<String, String> {
    let pairs = attributes.into_iter();
    pairs.map(|pair| (pair.key, text(pair.value))).collect()
}

fn text(value: Option<AnyValue>) -> String {
    match value.and_then(|any| any.value) {
        Some(Value::StringValue(text)) => text,
        Some(Value::IntValue(number)) => number.to_string(),
        other => panic!("a value is {other:?}"),
    }
}

fn hex(id: &[u8]) -> String {
    id.iter().map(|byte| format!("{byte:02x}")).collect()
}

// === impl SeenSpan ===

impl SeenSpan {
    fn new(resource: &BTreeMap<String, String>, span: Span) -> Self {
        let failed = |status: &Status| status.code() == StatusCode::Error;
        let started = Duration::from_nanos(span.start_time_unix_nano);
        Self {
            service: resource["service.name"].clone(),
            resource: resource.clone(),
            kind: span.kind(),
            trace_id: hex(&span.trace_id),
            span_id: hex(&span.span_id),
            parent_id: hex(&span.parent_span_id),
            failure: span.status.filter(failed).map(|status| status.message),
            started,
            took: Duration::from_nanos(span.end_time_unix_nano) - started,
            name: span.name,
            attributes: texts(span.attributes),
        }
    }

    /// Whether the span has this service, kind and name.
    pub fn is(&self, (service, kind, name): (&str, SpanKind, &str)) -> bool {
        self.service == service && self.kind == kind && self.name == name
    }

    /// The text of an attribute; empty if it is missing.
    pub fn attribute(&self, key: &str) -> &str {
        self.attributes.get(key).map_or("", String::as_str)
    }
}

// === impl SeenLine ===

impl SeenLine {
    fn new(resource: &BTreeMap<String, String>, line: LogRecord) -> Self {
        Self {
            service: resource["service.name"].clone(),
            resource: resource.clone(),
            severity: line.severity_number,
            level: line.severity_text,
            message: text(line.body),
            trace_id: hex(&line.trace_id),
            span_id: hex(&line.span_id),
            sampled: line.flags & 1 == 1,
            attributes: texts(line.attributes),
            at: Duration::from_nanos(line.time_unix_nano),
        }
    }
}
