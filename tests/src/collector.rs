//! An OpenTelemetry collector that keeps what it is sent, read by the project's own types.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use opentelemetry_proto::tonic::collector::trace::v1::trace_service_server::{
    TraceService, TraceServiceServer,
};
use opentelemetry_proto::tonic::collector::trace::v1::{
    ExportTraceServiceRequest, ExportTraceServiceResponse,
};
use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::common::v1::{AnyValue, KeyValue};
use opentelemetry_proto::tonic::trace::v1::span::SpanKind;
use opentelemetry_proto::tonic::trace::v1::status::StatusCode;
use opentelemetry_proto::tonic::trace::v1::{ResourceSpans, Span, Status};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tonic::transport::Server;
use tonic::transport::server::TcpIncoming;
use tonic::{Request, Response};

use crate::eventually;

/// A running collector, gone when it is dropped.
#[derive(Debug)]
pub struct Collector {
    address: SocketAddr,
    seen: Arc<Mutex<Vec<SeenSpan>>>,
    server: JoinHandle<()>,
}

/// A span that a collector was sent. Attributes are written as texts.
#[derive(Clone, Debug, PartialEq)]
pub struct SeenSpan {
    pub service: String,
    pub resource: BTreeMap<String, String>,
    pub name: String,
    pub kind: SpanKind,
    pub trace_id: String,
    pub span_id: String,
    /// Empty where the trace begins.
    pub parent_id: String,
    pub attributes: BTreeMap<String, String>,
    /// What a failed span says of it.
    pub failure: Option<String>,
    /// Since 1970.
    pub started: Duration,
    pub took: Duration,
}

#[derive(Debug)]
struct Handler {
    seen: Arc<Mutex<Vec<SeenSpan>>>,
    answers: bool,
}

// === impl Collector ===

impl Collector {
    /// A collector on a free port.
    pub async fn start() -> Self {
        Self::start_at(([127, 0, 0, 1], 0).into()).await
    }

    /// A collector where there was none.
    pub async fn start_at(address: SocketAddr) -> Self {
        Self::serve(address, true).await
    }

    /// A collector that takes requests and never answers.
    pub async fn start_silent() -> Self {
        Self::serve(([127, 0, 0, 1], 0).into(), false).await
    }

    async fn serve(address: SocketAddr, answers: bool) -> Self {
        let listener = TcpListener::bind(address).await.unwrap();
        let address = listener.local_addr().unwrap();
        let seen = Arc::default();
        let handler = Handler {
            seen: Arc::clone(&seen),
            answers,
        };
        let server = tokio::spawn(async move {
            let incoming = TcpIncoming::from(listener);
            let service = TraceServiceServer::new(handler);
            let server = Server::builder().add_service(service);
            server.serve_with_incoming(incoming).await.unwrap();
        });
        Self {
            address,
            seen,
            server,
        }
    }

    /// For `--otlp-endpoint`.
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// All spans up to now.
    pub fn spans(&self) -> Vec<SeenSpan> {
        self.seen.lock().unwrap().clone()
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

    /// Waits for a span of a trace: of this service, kind and name.
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
        let spans = request.into_inner().resource_spans.into_iter();
        self.seen.lock().unwrap().extend(spans.flat_map(seen));
        if !self.answers {
            std::future::pending::<()>().await;
        }
        Ok(Response::new(ExportTraceServiceResponse::default()))
    }
}

fn seen(sent: ResourceSpans) -> impl Iterator<Item = SeenSpan> {
    let resource = texts(sent.resource.unwrap_or_default().attributes);
    let spans = sent.scope_spans.into_iter().flat_map(|scope| scope.spans);
    spans.map(move |span| SeenSpan::new(&resource, span))
}

fn texts(attributes: Vec<KeyValue>) -> BTreeMap<String, String> {
    let text = |value: Option<AnyValue>| match value.and_then(|any| any.value) {
        Some(Value::StringValue(text)) => text,
        Some(Value::IntValue(number)) => number.to_string(),
        other => panic!("an attribute is {other:?}"),
    };
    let pairs = attributes.into_iter();
    pairs.map(|pair| (pair.key, text(pair.value))).collect()
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

    /// Whether it is of this service, kind and name.
    pub fn is(&self, (service, kind, name): (&str, SpanKind, &str)) -> bool {
        self.service == service && self.kind == kind && self.name == name
    }

    /// An attribute's text; empty where it is missing.
    pub fn attribute(&self, key: &str) -> &str {
        self.attributes.get(key).map_or("", String::as_str)
    }
}
