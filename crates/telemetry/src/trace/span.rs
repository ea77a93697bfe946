//! Open and ended spans.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use tokio::time::Instant;

use super::Recorder;
use crate::export::{Value, truncate};
use vitalmesh_context::TraceContext;

/// The kind of a span.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SpanKind {
    /// Work inside of a service, such as a task run.
    Internal,
    /// A call or request that a server handles.
    Server,
    /// A call that a client makes.
    Client,
}

/// A span that has not ended. Dropping it ends it.
#[derive(Debug)]
pub struct OpenSpan {
    recorder: Arc<Recorder>,
    begun: Instant,
    /// `None` only during drop.
    span: Option<Span>,
}

/// A span that has ended, as queued for export.
#[derive(Debug)]
pub(crate) struct Span {
    pub(super) trace: TraceContext,
    pub(super) kind: SpanKind,
    pub(super) name: String,
    pub(super) started: SystemTime,
    pub(super) took: Duration,
    pub(super) attributes: Vec<(&'static str, Value)>,
    /// The error description, if the span failed.
    pub(super) failure: Option<String>,
}

// === impl OpenSpan ===

impl OpenSpan {
    pub(super) fn start(
        recorder: Arc<Recorder>,
        trace: TraceContext,
        kind: SpanKind,
        name: String,
    ) -> Self {
        let span = Span {
            trace,
            kind,
            name,
            started: SystemTime::now(),
            took: Duration::ZERO,
            attributes: Vec::new(),
            failure: None,
        };
        Self {
            recorder,
            begun: Instant::now(),
            span: Some(span),
        }
    }

    /// Adds an attribute. Texts are truncated to 256 bytes.
    pub fn set(&mut self, key: &'static str, value: impl Into<Value>) {
        if let Some(span) = &mut self.span {
            span.attributes.push((key, value.into()));
        }
    }

    /// Marks the span as failed. The reason may be empty and is truncated to 256 bytes.
    pub fn fail(&mut self, reason: &str) {
        if let Some(span) = &mut self.span {
            span.failure = Some(truncate(reason).to_owned());
        }
    }
}

impl Drop for OpenSpan {
    fn drop(&mut self) {
        if let Some(span) = self.span.take() {
            let took = self.begun.elapsed();
            self.recorder.spans.push(Span { took, ..span });
        }
    }
}
