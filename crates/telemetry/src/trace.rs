//! Spans of calls, requests and task runs, exported to an OTLP collector.
//!
//! In a sampled trace, a span holds the ids, times and outcome of a call, and is queued for export
//! when it ends. Without a collector or in an unsampled trace, a span costs one branch.

pub mod conventions;
mod message;
mod settings;
mod span;

use std::future::Future;
use std::sync::Arc;

use prometheus::Registry;

pub use self::settings::{Collector, Ratio, TraceSettings};
use self::span::Span;
pub use self::span::{OpenSpan, SpanKind};
use crate::export::{self, ExportQueue, Resource};
use vitalmesh_context::TraceContext;

/// Starts the spans of one service. Cheap to clone. The default records nothing.
#[derive(Clone, Debug, Default)]
pub struct Tracer {
    recorder: Option<Arc<Recorder>>,
}

/// The queue of ended spans, and the sampling ratio.
#[derive(Debug)]
struct Recorder {
    spans: ExportQueue<Span>,
    ratio: Ratio,
}

// === impl Tracer ===

impl Tracer {
    /// A tracer for `settings`, and a future that flushes the queue when the service stops.
    ///
    /// Registers the export counters also if no collector is set. Needs a runtime.
    ///
    /// # Errors
    ///
    /// If `registry` already has the counters.
    pub fn start(
        settings: &TraceSettings,
        resource: &Resource,
        registry: &Registry,
    ) -> prometheus::Result<(Self, impl Future<Output = ()> + Send + use<>)> {
        let (spans, flush) = export::start(settings.collector(), resource, registry)?;
        let ratio = settings.trace_ratio;
        let recorder = spans.map(|spans| Arc::new(Recorder { spans, ratio }));
        Ok((Self { recorder }, flush))
    }

    /// Makes the sampling decision for a root span. Other spans keep the decision of their caller.
    pub fn sample(&self, trace: TraceContext) -> TraceContext {
        match &self.recorder {
            Some(recorder) if trace.parent_id.is_none() => TraceContext {
                sampled: recorder.ratio.selects(trace.trace_id),
                ..trace
            },
            _ => trace,
        }
    }

    /// Whether a collector is set.
    pub const fn is_enabled(&self) -> bool {
        self.recorder.is_some()
    }

    /// Starts the span of `trace` if the trace is sampled; dropping it ends it.
    ///
    /// It is boxed, so that a call without a span carries only a pointer.
    pub fn start_span(
        &self,
        trace: TraceContext,
        kind: SpanKind,
        name: impl FnOnce() -> String,
    ) -> Option<Box<OpenSpan>> {
        let recorder = self.recorder.as_ref().filter(|_| trace.sampled)?;
        let span = OpenSpan::start(Arc::clone(recorder), trace, kind, name());
        Some(Box::new(span))
    }
}

#[cfg(test)]
mod tests {
    use prometheus::IntCounter;
    use tokio::sync::mpsc;

    use super::*;
    use crate::export::QUEUE;

    fn tracer(ratio: &str) -> (Tracer, mpsc::Receiver<Span>, IntCounter) {
        let (spans, waiting, full) = ExportQueue::unexported();
        let ratio = ratio.parse().unwrap();
        let recorder = Some(Arc::new(Recorder { spans, ratio }));
        (Tracer { recorder }, waiting, full)
    }

    #[test]
    fn a_root_is_sampled_by_the_ratio_and_a_child_keeps_its_callers_decision() {
        let (always, ..) = tracer("1");
        let (never, ..) = tracer("0");
        let off = Tracer::default();
        let root = TraceContext::root();
        assert!(always.sample(root).sampled);
        assert!(!never.sample(root).sampled);
        assert!(!off.sample(root).sampled);
        for sampled in [true, false] {
            let child = TraceContext { sampled, ..root }.child();
            for tracer in [&always, &never, &off] {
                assert_eq!(tracer.sample(child), child);
            }
        }
    }

    #[test]
    fn no_span_starts_without_a_collector_or_in_an_unsampled_trace() {
        let sampled = TraceContext {
            sampled: true,
            ..TraceContext::root()
        };
        let unnamed = || unreachable!("no span needs a name");
        let off = Tracer::default();
        assert!(off.start_span(sampled, SpanKind::Server, unnamed).is_none());
        let (on, ..) = tracer("1");
        let unsampled = TraceContext::root();
        assert!(
            on.start_span(unsampled, SpanKind::Server, unnamed)
                .is_none()
        );
        let named = || "a name".to_owned();
        assert!(on.start_span(sampled, SpanKind::Server, named).is_some());
    }

    #[test]
    fn the_span_after_a_full_queue_is_dropped_and_counted() {
        let (tracer, mut spans, full) = tracer("1");
        let record = |count| {
            for _ in 0..count {
                let trace = tracer.sample(TraceContext::root());
                drop(tracer.start_span(trace, SpanKind::Internal, || "work".to_owned()));
            }
        };
        record(QUEUE);
        assert_eq!(full.get(), 0);
        record(3);
        assert_eq!(full.get(), 3);
        assert_eq!(spans.try_recv().unwrap().name, "work");
        record(1);
        assert_eq!(full.get(), 3);
    }
}
