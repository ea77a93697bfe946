//! A span that is open, and what is left of it when it has ended.

use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use super::Recorder;
use crate::context::TraceContext;

/// Bytes of a text in a span, which may be a client's or another service's.
const MAX_TEXT: usize = 256;

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
pub(super) struct Span {
    pub(super) trace: TraceContext,
    pub(super) kind: Kind,
    pub(super) name: String,
    pub(super) started: SystemTime,
    pub(super) took: Duration,
    pub(super) attributes: Vec<(&'static str, Value)>,
    /// Why the span failed, if it did.
    pub(super) failure: Option<String>,
}

/// What an attribute says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Value {
    Text(String),
    Number(i64),
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
            self.recorder.record(Span { took, ..span });
        }
    }
}

// === impl Value ===

impl From<&str> for Value {
    fn from(text: &str) -> Self {
        Self::Text(cut(text).to_owned())
    }
}

impl From<i64> for Value {
    fn from(number: i64) -> Self {
        Self::Number(number)
    }
}

fn cut(text: &str) -> &str {
    &text[..text.floor_char_boundary(MAX_TEXT)]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_is_cut_at_256_bytes_between_characters() {
        let most = "x".repeat(256);
        assert_eq!(cut(&most), most);
        assert_eq!(cut(&"x".repeat(257)), most);
        let wide = format!("x{}", "é".repeat(200));
        assert_eq!(cut(&wide).len(), 255);
        assert_eq!(cut(""), "");
    }
}
