//! OTLP's messages, as far as spans need them: the stable numbers of opentelemetry-proto 1.x.
//!
//! The crate of that name would bring an SDK along that nothing here uses. The tests of the mesh
//! read what this writes by that crate.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use super::span::{Span, Value};
use crate::process::VERSION;

/// The one method that takes spans.
pub(super) const EXPORT: &str = "/opentelemetry.proto.collector.trace.v1.TraceService/Export";
const ERROR: i32 = 2;

#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct ExportRequest {
    #[prost(message, repeated, tag = "1")]
    resource_spans: Vec<ResourceSpans>,
}

#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct ExportResponse {
    #[prost(message, optional, tag = "1")]
    pub(super) partial_success: Option<PartialSuccess>,
}

/// What a collector says when it does not take all.
#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct PartialSuccess {
    #[prost(int64, tag = "1")]
    pub(super) rejected_spans: i64,
    #[prost(string, tag = "2")]
    pub(super) error_message: String,
}

#[derive(Clone, PartialEq, prost::Message)]
struct ResourceSpans {
    #[prost(message, optional, tag = "1")]
    resource: Option<Resource>,
    #[prost(message, repeated, tag = "2")]
    scope_spans: Vec<ScopeSpans>,
}

/// Who made the spans.
#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct Resource {
    #[prost(message, repeated, tag = "1")]
    attributes: Vec<KeyValue>,
}

#[derive(Clone, PartialEq, prost::Message)]
struct ScopeSpans {
    #[prost(message, optional, tag = "1")]
    scope: Option<Scope>,
    #[prost(message, repeated, tag = "2")]
    spans: Vec<SpanMessage>,
}

#[derive(Clone, PartialEq, prost::Message)]
struct Scope {
    #[prost(string, tag = "1")]
    name: String,
    #[prost(string, tag = "2")]
    version: String,
}

#[derive(Clone, PartialEq, prost::Message)]
struct SpanMessage {
    #[prost(bytes = "vec", tag = "1")]
    trace_id: Vec<u8>,
    #[prost(bytes = "vec", tag = "2")]
    span_id: Vec<u8>,
    #[prost(bytes = "vec", tag = "4")]
    parent_span_id: Vec<u8>,
    #[prost(string, tag = "5")]
    name: String,
    #[prost(int32, tag = "6")]
    kind: i32,
    #[prost(fixed64, tag = "7")]
    start_time_unix_nano: u64,
    #[prost(fixed64, tag = "8")]
    end_time_unix_nano: u64,
    #[prost(message, repeated, tag = "9")]
    attributes: Vec<KeyValue>,
    #[prost(message, optional, tag = "15")]
    status: Option<Status>,
}

#[derive(Clone, PartialEq, prost::Message)]
struct Status {
    #[prost(string, tag = "2")]
    message: String,
    #[prost(int32, tag = "3")]
    code: i32,
}

#[derive(Clone, PartialEq, prost::Message)]
struct KeyValue {
    #[prost(string, tag = "1")]
    key: String,
    #[prost(message, optional, tag = "2")]
    value: Option<AnyValue>,
}

#[derive(Clone, PartialEq, prost::Message)]
struct AnyValue {
    #[prost(oneof = "AnyValueKind", tags = "1, 3")]
    value: Option<AnyValueKind>,
}

#[derive(Clone, PartialEq, prost::Oneof)]
enum AnyValueKind {
    #[prost(string, tag = "1")]
    Text(String),
    #[prost(int64, tag = "3")]
    Number(i64),
}

// === impl ExportRequest ===

impl ExportRequest {
    pub(super) fn new(resource: &Resource, spans: Vec<Span>) -> Self {
        let scope = Scope {
            name: env!("CARGO_PKG_NAME").to_owned(),
            version: VERSION.to_owned(),
        };
        Self {
            resource_spans: vec![ResourceSpans {
                resource: Some(resource.clone()),
                scope_spans: vec![ScopeSpans {
                    scope: Some(scope),
                    spans: spans.into_iter().map(Into::into).collect(),
                }],
            }],
        }
    }
}

// === impl Resource ===

impl Resource {
    pub(super) fn new(service: &str, instance: &str) -> Self {
        let text = |key: &'static str, text: &str| (key, Value::from(text)).into();
        Self {
            attributes: vec![
                text("service.name", service),
                text("service.version", VERSION),
                text("service.instance.id", instance),
            ],
        }
    }
}

// === impl SpanMessage ===

impl From<Span> for SpanMessage {
    fn from(span: Span) -> Self {
        let parent = span.trace.parent_id.map(|id| id.get().to_be_bytes());
        Self {
            trace_id: span.trace.trace_id.to_be_bytes().into(),
            span_id: span.trace.span_id.to_be_bytes().into(),
            parent_span_id: parent.map(Into::into).unwrap_or_default(),
            name: span.name,
            kind: span.kind as i32,
            start_time_unix_nano: nanos(span.started),
            end_time_unix_nano: nanos(span.started + span.took),
            attributes: span.attributes.into_iter().map(Into::into).collect(),
            status: span.failure.map(|message| Status {
                message,
                code: ERROR,
            }),
        }
    }
}

// === impl KeyValue ===

impl From<(&'static str, Value)> for KeyValue {
    fn from((key, value): (&'static str, Value)) -> Self {
        let value = match value {
            Value::Text(text) => AnyValueKind::Text(text),
            Value::Number(number) => AnyValueKind::Number(number),
        };
        Self {
            key: key.to_owned(),
            value: Some(AnyValue { value: Some(value) }),
        }
    }
}

/// Since 1970; 0 for what is before, and for what is after 2554.
fn nanos(at: SystemTime) -> u64 {
    let since = at.duration_since(UNIX_EPOCH).unwrap_or(Duration::ZERO);
    u64::try_from(since.as_nanos()).unwrap_or(0)
}
