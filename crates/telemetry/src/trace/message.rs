//! The OTLP message of a span, and its export.

use tonic::Status;
use vitalmesh_transport::Transport;

use super::span::{Span, SpanKind};
use crate::export::{PartialSuccess, Resource, Signal, attribute, nanos, scope};
use crate::otlp::collector::trace::v1::ExportTraceServiceRequest;
use crate::otlp::collector::trace::v1::trace_service_client::TraceServiceClient;
use crate::otlp::trace::v1::span::SpanKind as OtlpKind;
use crate::otlp::trace::v1::status::StatusCode;
use crate::otlp::trace::v1::{self, ResourceSpans, ScopeSpans};

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

    async fn export(
        collector: Transport,
        resource: &Resource,
        spans: Vec<Self>,
    ) -> Result<Option<PartialSuccess>, Status> {
        let scope_spans = ScopeSpans {
            scope: Some(scope()),
            spans: spans.into_iter().map(Into::into).collect(),
            ..ScopeSpans::default()
        };
        let resource_spans = ResourceSpans {
            resource: Some(resource.message()),
            scope_spans: vec![scope_spans],
            ..ResourceSpans::default()
        };
        let request = ExportTraceServiceRequest {
            resource_spans: vec![resource_spans],
        };
        let response = TraceServiceClient::new(collector).export(request).await?;
        let partial = response.into_inner().partial_success;
        Ok(partial.map(|partial| PartialSuccess {
            rejected: partial.rejected_spans,
            message: partial.error_message,
        }))
    }
}

impl From<Span> for v1::Span {
    fn from(span: Span) -> Self {
        let parent = span.trace.parent_id.map(|id| id.get().to_be_bytes());
        Self {
            trace_id: span.trace.trace_id.to_be_bytes().into(),
            span_id: span.trace.span_id.to_be_bytes().into(),
            parent_span_id: parent.map(Into::into).unwrap_or_default(),
            name: span.name,
            kind: OtlpKind::from(span.kind).into(),
            start_time_unix_nano: nanos(span.started),
            end_time_unix_nano: nanos(span.started + span.took),
            attributes: span.attributes.into_iter().map(attribute).collect(),
            status: span.failure.map(|message| v1::Status {
                message,
                code: StatusCode::Error.into(),
            }),
            ..Self::default()
        }
    }
}

// === impl SpanKind ===

impl From<SpanKind> for OtlpKind {
    fn from(kind: SpanKind) -> Self {
        match kind {
            SpanKind::Internal => Self::Internal,
            SpanKind::Server => Self::Server,
            SpanKind::Client => Self::Client,
        }
    }
}
