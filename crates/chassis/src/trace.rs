//! A service's spans: one a call, a request and a task's run, sent to an OTLP collector.
//!
//! The layers know each span's ids, times and outcome anyway, for headers, logs and metrics. A
//! recorded span is a copy of them, made when the trace is sampled and queued when the span ends.
//! Where no collector is set, and in a trace that is not sampled, a span is one check.

pub(crate) mod conventions;
mod exporter;
mod otlp;
mod settings;
mod span;
mod task;

use std::future::Future;
use std::sync::Arc;

use prometheus::Registry;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use self::exporter::{Counts, Exporter};
use self::otlp::Resource;
pub use self::settings::{Collector, Ratio, TraceSettings};
use self::span::Span;
pub(crate) use self::span::{Kind, OpenSpan};
use crate::context::TraceContext;

/// Spans that wait for the exporter; what does not fit is dropped and counted.
const QUEUE: usize = 2048;

/// Begins the spans of one service. Cheap to clone; without a collector it is nothing.
#[derive(Clone, Debug, Default)]
pub(crate) struct Tracer {
    recorder: Option<Arc<Recorder>>,
}

/// Where spans go that have ended.
#[derive(Debug)]
struct Recorder {
    spans: mpsc::Sender<Span>,
    counts: Counts,
    ratio: Ratio,
}

// === impl Tracer ===

impl Tracer {
    /// A tracer as `settings` say, and what sends the last spans at the service's stop. Its
    /// counts are in `registry` also where no collector is set. Needs a runtime.
    pub(crate) fn start(
        settings: &TraceSettings,
        service: &'static str,
        instance: &str,
        registry: &Registry,
    ) -> prometheus::Result<(Self, impl Future<Output = ()> + Send + use<>)> {
        let counts = Counts::register(registry)?;
        let stop = CancellationToken::new();
        let collector = settings.otlp_endpoint.0.clone();
        let (recorder, exporting) = match collector {
            None => (None, None),
            Some(collector) => {
                let (recorder, spans) = Recorder::new(settings.trace_ratio, counts.clone());
                let resource = Resource::new(service, instance);
                let exporter = Exporter::new(collector, spans, resource, counts);
                let running = tokio::spawn(exporter.run(stop.clone()));
                (Some(Arc::new(recorder)), Some(running))
            }
        };
        let flush = async move {
            stop.cancel();
            if let Some(running) = exporting {
                // It fails only by a panic, which is logged.
                let _ = running.await;
            }
        };
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

// === impl Recorder ===

impl Recorder {
    fn new(ratio: Ratio, counts: Counts) -> (Self, mpsc::Receiver<Span>) {
        let (sender, spans) = mpsc::channel(QUEUE);
        let recorder = Self {
            spans: sender,
            counts,
            ratio,
        };
        (recorder, spans)
    }

    /// Never waits: a span that does not fit is dropped and counted.
    fn record(&self, span: Span) {
        if self.spans.try_send(span).is_err() {
            self.counts.queue_full.inc();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tracer(ratio: &str) -> (Tracer, mpsc::Receiver<Span>, Counts) {
        let counts = Counts::register(&Registry::new()).unwrap();
        let (recorder, spans) = Recorder::new(ratio.parse().unwrap(), counts.clone());
        let recorder = Some(Arc::new(recorder));
        (Tracer { recorder }, spans, counts)
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
        let (tracer, mut spans, counts) = tracer("1");
        let record = |count| {
            for _ in 0..count {
                let trace = tracer.sample(TraceContext::root());
                drop(tracer.begin(trace, Kind::Internal, || "work".to_owned()));
            }
        };
        record(QUEUE);
        assert_eq!(counts.queue_full.get(), 0);
        record(3);
        assert_eq!(counts.queue_full.get(), 3);
        assert_eq!(spans.try_recv().unwrap().name, "work");
        record(1);
        assert_eq!(counts.queue_full.get(), 3);
    }
}
