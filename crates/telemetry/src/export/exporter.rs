//! Sends one signal to a collector in batches.

use std::mem;
use std::time::Duration;

use http::Uri;
use prometheus::{IntCounter, Opts, Registry};
use tokio::sync::mpsc;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use tonic::Status;
use vitalmesh_transport::Transport;

use super::{PartialSuccess, Resource, Signal};

/// The limit of items in one request: about 300 kB, far below the 4 MiB that collectors accept.
const BATCH: usize = 512;
/// How long an incomplete batch waits for further items.
const DELAY: Duration = Duration::from_secs(1);
/// The timeout of a request. Further items queue meanwhile.
const TIMEOUT: Duration = Duration::from_secs(5);

/// Counters of accepted and dropped items.
#[derive(Clone, Debug)]
pub(super) struct Counts {
    exported: IntCounter,
    pub(super) queue_full: IntCounter,
    export_failed: IntCounter,
}

/// Sends queued items until it is stopped.
#[derive(Debug)]
pub(super) struct Exporter<S> {
    collector: Uri,
    transport: Transport,
    queue: mpsc::Receiver<S>,
    batch: Vec<S>,
    resource: Resource,
    counts: Counts,
    failing: bool,
}

// === impl Counts ===

impl Counts {
    pub(super) fn register<S: Signal>(registry: &Registry) -> prometheus::Result<Self> {
        let counter = |opts: Opts| -> prometheus::Result<IntCounter> {
            let counter = IntCounter::with_opts(opts)?;
            registry.register(Box::new(counter.clone()))?;
            Ok(counter)
        };
        let opts = |(name, help)| Opts::new(name, help);
        let dropped = |reason| counter(opts(S::DROPPED).const_label("reason", reason));
        Ok(Self {
            exported: counter(opts(S::EXPORTED))?,
            queue_full: dropped("queue_full")?,
            export_failed: dropped("export_failed")?,
        })
    }
}

// === impl Exporter ===

impl<S: Signal> Exporter<S> {
    pub(super) fn new(
        collector: Uri,
        queue: mpsc::Receiver<S>,
        resource: Resource,
        counts: Counts,
    ) -> Self {
        Self {
            // The bare transport: exports are neither metered nor traced.
            transport: Transport::new(collector.clone()),
            collector,
            queue,
            batch: Vec::new(),
            resource,
            counts,
            failing: false,
        }
    }

    /// Exports until `stop`, then flushes the queue.
    pub(super) async fn run(mut self, stop: CancellationToken) {
        loop {
            tokio::select! {
                () = self.fill() => {}
                () = stop.cancelled() => break,
            }
            if self.batch.is_empty() {
                return;
            }
            self.export().await;
        }
        self.queue.close();
        while self.queue.recv_many(&mut self.batch, BATCH).await > 0 {
            self.export().await;
        }
        self.export().await;
    }

    /// Waits for an item, then for a full batch or [`DELAY`]. The batch stays empty once all senders
    /// are gone. Cancel safe: a dropped future keeps the batch.
    async fn fill(&mut self) {
        let (queue, batch) = (&mut self.queue, &mut self.batch);
        if queue.recv_many(batch, BATCH).await == 0 {
            return;
        }
        let full = async {
            while batch.len() < BATCH && queue.recv_many(batch, BATCH - batch.len()).await > 0 {}
        };
        let _ = timeout(DELAY, full).await;
    }

    async fn export(&mut self) {
        let batch = mem::take(&mut self.batch);
        let count = batch.len() as u64;
        if count == 0 {
            return;
        }
        let sent = S::export(self.transport.clone(), &self.resource, batch);
        let sent = timeout(TIMEOUT, sent).await;
        let sent =
            sent.unwrap_or_else(|_| Err(Status::deadline_exceeded("no response within 5 s")));
        let (lost, problem) = match sent {
            Ok(None) => (0, None),
            Ok(Some(partial)) => partial.lost(count),
            Err(status) => (
                count,
                Some(format!("{:?}: {}", status.code(), status.message())),
            ),
        };
        self.counts.export_failed.inc_by(lost);
        self.counts.exported.inc_by(count - lost);
        self.log_change(problem.as_deref());
    }

    /// Logs the first failure and the recovery, not each failure.
    fn log_change(&mut self, problem: Option<&str>) {
        let collector = &self.collector;
        match (problem, self.failing) {
            (Some(reason), false) => {
                tracing::warn!(%collector, reason, "cannot export {}, they are dropped", S::NAME);
            }
            (None, true) => tracing::info!(%collector, "exporting {} again", S::NAME),
            _ => {}
        }
        self.failing = problem.is_some();
    }
}

// === impl PartialSuccess ===

impl PartialSuccess {
    /// How many of `count` items the collector rejected, and why.
    fn lost(self, count: u64) -> (u64, Option<String>) {
        // A message without a count is a warning about accepted items.
        match u64::try_from(self.rejected).unwrap_or(0) {
            0 => (0, None),
            rejected => (rejected.min(count), Some(self.message)),
        }
    }
}

#[cfg(test)]
mod tests {
    use opentelemetry_proto::tonic::collector::logs::v1::ExportLogsServiceRequest;
    use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
    use opentelemetry_proto::tonic::common::v1::any_value::Value;
    use opentelemetry_proto::tonic::common::v1::{AnyValue, InstrumentationScope, KeyValue};
    use opentelemetry_proto::tonic::logs::v1::{LogRecord, ResourceLogs, ScopeLogs};
    use opentelemetry_proto::tonic::resource::v1::Resource as OtlpResource;
    use opentelemetry_proto::tonic::trace::v1::span::SpanKind as OtlpKind;
    use opentelemetry_proto::tonic::trace::v1::status::StatusCode;
    use opentelemetry_proto::tonic::trace::v1::{
        ResourceSpans, ScopeSpans, Span, Status as SpanStatus,
    };
    use prometheus::TextEncoder;
    use tracing_subscriber::layer::SubscriberExt;
    use vitalmesh_context::{CallContext, TraceContext};

    use super::*;
    use crate::log::{LogSink, export_log};
    use crate::test_collector::TestCollector;
    use crate::trace::{SpanKind, TraceSettings, Tracer};

    fn value(value: Value) -> AnyValue {
        AnyValue { value: Some(value) }
    }

    fn text(text: &str) -> AnyValue {
        value(Value::StringValue(text.to_owned()))
    }

    fn attribute(key: &str, value: AnyValue) -> KeyValue {
        KeyValue {
            key: key.to_owned(),
            value: Some(value),
            ..KeyValue::default()
        }
    }

    fn resource() -> Option<OtlpResource> {
        let attributes = vec![
            attribute("service.name", text("shop")),
            attribute("service.version", text("1.2.3")),
            attribute("service.instance.id", text("a")),
        ];
        Some(OtlpResource {
            attributes,
            ..OtlpResource::default()
        })
    }

    fn scope() -> Option<InstrumentationScope> {
        Some(InstrumentationScope {
            name: "vitalmesh-telemetry".to_owned(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            ..InstrumentationScope::default()
        })
    }

    fn traced() -> CallContext {
        let mut context = CallContext::root(None);
        context.trace = TraceContext {
            sampled: true,
            ..TraceContext::root().child()
        };
        context
    }

    fn values(registry: &Registry, signal: &str) -> [String; 3] {
        let page = TextEncoder::new().encode_to_string(&registry.gather());
        let page = page.unwrap();
        let series = [
            format!("mesh_{signal}_exported_total "),
            format!("mesh_{signal}_dropped_total{{reason=\"queue_full\"}} "),
            format!("mesh_{signal}_dropped_total{{reason=\"export_failed\"}} "),
        ];
        series.map(|series| {
            let mut values = page.lines().filter_map(|line| line.strip_prefix(&series));
            values.next().unwrap().to_owned()
        })
    }

    #[tokio::test]
    async fn a_request_with_log_lines_is_what_the_official_types_expect() {
        let mut collector = TestCollector::start(0).await;
        let (sink, registry) = (LogSink::default(), Registry::new());
        let from = Resource::new("shop", "1.2.3", "a");
        let flush = export_log(Some(&sink), Some(collector.uri()), &from, &registry).unwrap();
        let context = traced();
        tracing::subscriber::with_default(tracing_subscriber::registry().with(sink), || {
            context.sync_scope(|| tracing::info!(target: "shop::orders", count = 3, "placed"));
        });
        flush.await;

        let request = collector.logs().await;
        let time_unix_nano = request.resource_logs[0].scope_logs[0].log_records[0].time_unix_nano;
        let record = LogRecord {
            time_unix_nano,
            severity_number: 9,
            severity_text: "INFO".to_owned(),
            body: Some(text("placed")),
            attributes: vec![
                attribute("count", value(Value::IntValue(3))),
                attribute("target", text("shop::orders")),
            ],
            flags: 1,
            trace_id: context.trace.trace_id.to_be_bytes().into(),
            span_id: context.trace.span_id.to_be_bytes().into(),
            ..LogRecord::default()
        };
        let expected = ExportLogsServiceRequest {
            resource_logs: vec![ResourceLogs {
                resource: resource(),
                scope_logs: vec![ScopeLogs {
                    scope: scope(),
                    log_records: vec![record],
                    ..ScopeLogs::default()
                }],
                ..ResourceLogs::default()
            }],
        };
        assert_eq!(request, expected);
        assert_eq!(values(&registry, "log_lines"), ["1", "0", "0"]);
    }

    #[tokio::test]
    async fn a_request_with_spans_is_what_the_official_types_expect() {
        let mut collector = TestCollector::start(1).await;
        let settings = TraceSettings {
            otlp_endpoint: collector
                .uri()
                .to_string()
                .trim_end_matches('/')
                .parse()
                .unwrap(),
            ..TraceSettings::default()
        };
        let (from, registry) = (Resource::new("shop", "1.2.3", "a"), Registry::new());
        let (tracer, flush) = Tracer::start(&settings, &from, &registry).unwrap();
        let trace = traced().trace;
        let span = tracer.start_span(trace, SpanKind::Client, || "pay".to_owned());
        let mut span = span.unwrap();
        span.set("server.port", 443);
        span.fail("card declined");
        drop(span);
        for kind in [SpanKind::Server, SpanKind::Internal] {
            drop(tracer.start_span(trace, kind, || "work".to_owned()));
        }
        flush.await;

        let mut request = collector.spans().await;
        let sent = &mut request.resource_spans[0].scope_spans[0].spans;
        let (begun, ended) = (sent[0].start_time_unix_nano, sent[0].end_time_unix_nano);
        assert!(begun > 0 && begun <= ended, "{begun} {ended}");
        let kinds: Vec<_> = sent.drain(1..).map(|span| span.kind()).collect();
        assert_eq!(kinds, [OtlpKind::Server, OtlpKind::Internal]);
        let span = Span {
            trace_id: trace.trace_id.to_be_bytes().into(),
            span_id: trace.span_id.to_be_bytes().into(),
            parent_span_id: trace.parent_id.unwrap().get().to_be_bytes().into(),
            name: "pay".to_owned(),
            kind: OtlpKind::Client.into(),
            start_time_unix_nano: begun,
            end_time_unix_nano: ended,
            attributes: vec![attribute("server.port", value(Value::IntValue(443)))],
            status: Some(SpanStatus {
                message: "card declined".to_owned(),
                code: StatusCode::Error.into(),
            }),
            ..Span::default()
        };
        let expected = ExportTraceServiceRequest {
            resource_spans: vec![ResourceSpans {
                resource: resource(),
                scope_spans: vec![ScopeSpans {
                    scope: scope(),
                    spans: vec![span],
                    ..ScopeSpans::default()
                }],
                ..ResourceSpans::default()
            }],
        };
        assert_eq!(request, expected);
        // The collector rejected one of the three.
        assert_eq!(values(&registry, "spans"), ["2", "0", "1"]);
    }

    #[test]
    fn rejected_items_are_counted_and_never_more_than_were_sent() {
        let lost = |rejected| {
            let partial = PartialSuccess {
                rejected,
                message: "too old".to_owned(),
            };
            partial.lost(5)
        };
        let why = Some("too old".to_owned());
        // A warning, or an invalid count.
        assert_eq!(lost(0), (0, None));
        assert_eq!(lost(-1), (0, None));
        assert_eq!(lost(3), (3, why.clone()));
        assert_eq!(lost(9), (5, why));
    }
}
