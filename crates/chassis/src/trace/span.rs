//! A span that is open, and what is left of it when it has ended.

use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use super::Recorder;
use crate::context::TraceContext;
use crate::export::{Value, cut};

/// What a span stands for, with OTLP's numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Internal = 1,
    Server = 2,
    Client = 3,
}

/// A span that has not ended. Its drop is its end.
#[derive(Debug)]
pub(crate) struct OpenSpan {
    recorder: Arc<Recorder>,
    begun: Instant,
    /// `None` only while it is dropped.
    span: Option<Span>,
}

/// A span that has ended.
#[derive(Debug)]
pub(crate) struct Span {
    pub(super) trace: TraceContext,
    pub(super) kind: Kind,
    pub(super) name: String,
    pub(super) started: SystemTime,
    pub(super) took: Duration,
    pub(super) attributes: Vec<(&'static str, Value)>,
    /// Why the span failed, if it did.
    pub(super) failure: Option<String>,
}

// === impl OpenSpan ===

impl OpenSpan {
    pub(super) fn begin(
        recorder: Arc<Recorder>,
        trace: TraceContext,
        kind: Kind,
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

    /// Adds an attribute; texts are cut to 256 bytes.
    pub(crate) fn note(&mut self, key: &'static str, value: impl Into<Value>) {
        if let Some(span) = &mut self.span {
            span.attributes.push((key, value.into()));
        }
    }

    /// The span failed for this reason, which may be empty and is cut to 256 bytes.
    pub(crate) fn fail(&mut self, reason: &str) {
        if let Some(span) = &mut self.span {
            span.failure = Some(cut(reason).to_owned());
        }
    }
}

impl Drop for OpenSpan {
    fn drop(&mut self) {
        if let Some(span) = self.span.take() {
            let took = self.begun.elapsed();
            self.recorder.spans.put(Span { took, ..span });
        }
    }
}
