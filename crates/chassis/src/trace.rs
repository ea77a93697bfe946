//! A service's spans: one a call, a request and a task's run, sent to an OTLP collector.
//!
//! The layers know each span's ids, times and outcome anyway, for headers, logs and metrics. A
//! recorded span is a copy of them, made when the trace is sampled and queued when the span ends.
//! Where no collector is set, and in a trace that is not sampled, a span is one check.

pub(crate) mod conventions;
mod otlp;
mod settings;
mod span;
mod task;

use std::future::Future;
use std::sync::Arc;

use prometheus::Registry;

pub use self::settings::{Collector, Ratio, TraceSettings};
use self::span::Span;
pub(crate) use self::span::{Kind, OpenSpan};
use crate::context::TraceContext;
use crate::export;
use crate::export::Outbox;
use crate::export::otlp::Resource;

/// Begins the spans of one service. Cheap to clone; without a collector it is nothing.
#[derive(Clone, Debug, Default)]
pub(crate) struct Tracer {
    recorder: Option<Arc<Recorder>>,
}

/// Where spans go that have ended.
#[derive(Debug)]
struct Recorder {
    spans: Outbox<Span>,
    ratio: Ratio,
}

// === impl Tracer ===

impl Tracer {
    /// A tracer as `settings` say, and what sends the last spans at the service's stop. Its
    /// counts are in `registry` also where no collector is set. Needs a runtime.
    pub(crate) fn start(
        settings: &TraceSettings,
        resource: &Resource,
        registry: &Registry,
    ) -> prometheus::Result<(Self, impl Future<Output = ()> + Send + use<>)> {
        let (spans, flush) = export::start(settings.collector(), resource, registry)?;
        let ratio = settings.trace_ratio;
        let recorder = spans.map(|spans| Arc::new(Recorder { spans, ratio }));
        Ok((Self { recorder }, flush))
    }

    /// Decides for a trace that begins here whether it is recorded; elsewhere its caller has.
    pub(crate) fn sample(&self, trace: TraceContext) -> TraceContext {
        match &self.recorder {
            Some(recorder) if trace.parent_id.is_none() => TraceContext {
                sampled: recorder.ratio.takes(trace.trace_id),
                ..trace
            },
            _ => trace,
        }
    }

    /// Begins the span of `trace`, if it is recorded. It ends when it is dropped. Boxed, so that
    /// a call without one carries a pointer.
    pub(crate) fn begin(
        &self,
        trace: TraceContext,
        kind: Kind,
        name: impl FnOnce() -> String,
    ) -> Option<Box<OpenSpan>> {
        let recorder = self.recorder.as_ref().filter(|_| trace.sampled)?;
        let span = OpenSpan::begin(Arc::clone(recorder), trace, kind, name());
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
        let (spans, waiting, full) = Outbox::held();
        let ratio = ratio.parse().unwrap();
        let recorder = Some(Arc::new(Recorder { spans, ratio }));
        (Tracer { recorder }, waiting, full)
    }

    #[test]
    fn a_root_is_sampled_by_the_ratio_and_a_child_as_its_caller_says() {
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
    fn no_span_is_made_where_nobody_records_it() {
        let sampled = TraceContext {
            sampled: true,
            ..TraceContext::root()
        };
        let unnamed = || unreachable!("the name was made");
        let off = Tracer::default();
        assert!(off.begin(sampled, Kind::Server, unnamed).is_none());
        let (on, ..) = tracer("1");
        let unsampled = TraceContext::root();
        assert!(on.begin(unsampled, Kind::Server, unnamed).is_none());
        let named = || "a name".to_owned();
        assert!(on.begin(sampled, Kind::Server, named).is_some());
    }

    #[test]
    fn the_span_after_a_full_queue_is_dropped_and_counted() {
        let (tracer, mut spans, full) = tracer("1");
        let record = |count| {
            for _ in 0..count {
                let trace = tracer.sample(TraceContext::root());
                drop(tracer.begin(trace, Kind::Internal, || "work".to_owned()));
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
