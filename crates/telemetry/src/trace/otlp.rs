//! A span's OTLP message: the stable numbers of opentelemetry-proto 1.x.

use super::span::Span;
use crate::export::{KeyValue, Signal, nanos};

const ERROR: i32 = 2;

#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct SpanMessage {
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

// === impl Span ===

impl Signal for Span {
    const NAME: &'static str = "spans";
    const EXPORTED: (&'static str, &'static str) = (
        "mesh_spans_exported_total",
        "Spans that the collector accepted.",
    );
    const DROPPED: (&'static str, &'static str) = (
        "mesh_spans_dropped_total",
        "Recorded spans that did not reach the collector.",
    );
    const METHOD: &'static str = "/opentelemetry.proto.collector.trace.v1.TraceService/Export";
    type Message = SpanMessage;
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
