//! A log line, and its OTLP message: the stable numbers of opentelemetry-proto 1.x.

use std::time::SystemTime;

use tracing::{Event, Level};

use super::fields::Fields;
use crate::export::{AnyValue, KeyValue, Signal, Value, nanos};
use vitalmesh_context::{CallContext, TraceContext};

/// A log line to export. Texts are cut to 256 bytes; tracing allows at most 32 fields.
#[derive(Debug)]
pub(crate) struct LogLine {
    at: SystemTime,
    level: Level,
    message: Value,
    attributes: Vec<(String, Value)>,
    /// The trace of the call that logged the line.
    trace: Option<TraceContext>,
}

#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct LogRecord {
    #[prost(fixed64, tag = "1")]
    time_unix_nano: u64,
    #[prost(int32, tag = "2")]
    severity_number: i32,
    #[prost(string, tag = "3")]
    severity_text: String,
    #[prost(message, optional, tag = "5")]
    body: Option<AnyValue>,
    #[prost(message, repeated, tag = "6")]
    attributes: Vec<KeyValue>,
    #[prost(fixed32, tag = "8")]
    flags: u32,
    #[prost(bytes = "vec", tag = "9")]
    trace_id: Vec<u8>,
    #[prost(bytes = "vec", tag = "10")]
    span_id: Vec<u8>,
}

// === impl LogLine ===

impl LogLine {
    /// The line of an event of the running task.
    pub(super) fn of(event: &Event<'_>) -> Self {
        let metadata = event.metadata();
        let mut fields = Fields::of(event);
        let message = fields.remove("message");
        let target = ("target".to_owned(), metadata.target().into());
        let fields = fields
            .into_iter()
            .map(|(key, value)| (key, of_json(&value)));
        Self {
            at: SystemTime::now(),
            level: *metadata.level(),
            message: message.map_or_else(|| metadata.target().into(), |text| of_json(&text)),
            attributes: fields.chain([target]).collect(),
            trace: CallContext::current().map(|context| context.trace),
        }
    }
}

impl Signal for LogLine {
    const NAME: &'static str = "log lines";
    const EXPORTED: (&'static str, &'static str) = (
        "mesh_log_lines_exported_total",
        "Log lines that the collector accepted.",
    );
    const DROPPED: (&'static str, &'static str) = (
        "mesh_log_lines_dropped_total",
        "Log lines that did not reach the collector.",
    );
    const METHOD: &'static str = "/opentelemetry.proto.collector.logs.v1.LogsService/Export";
    type Message = LogRecord;
}

fn of_json(value: &serde_json::Value) -> Value {
    match (value.as_str(), value.as_i64()) {
        (Some(text), _) => text.into(),
        (_, Some(number)) => number.into(),
        _ => value.to_string().as_str().into(),
    }
}

// === impl LogRecord ===

impl From<LogLine> for LogRecord {
    fn from(line: LogLine) -> Self {
        let ids = |trace: TraceContext| {
            (
                trace.trace_id.to_be_bytes().into(),
                trace.span_id.to_be_bytes().into(),
            )
        };
        let (trace_id, span_id) = line.trace.map(ids).unwrap_or_default();
        Self {
            time_unix_nano: nanos(line.at),
            severity_number: severity(line.level),
            severity_text: line.level.as_str().to_owned(),
            body: Some(line.message.into()),
            attributes: line.attributes.into_iter().map(Into::into).collect(),
            flags: line.trace.is_some_and(|trace| trace.sampled).into(),
            trace_id,
            span_id,
        }
    }
}

fn severity(level: Level) -> i32 {
    match level {
        Level::TRACE => 1,
        Level::DEBUG => 5,
        Level::INFO => 9,
        Level::WARN => 13,
        Level::ERROR => 17,
    }
}

#[cfg(test)]
mod tests {
    use tracing_subscriber::layer::SubscriberExt;
    use tracing_subscriber::{Layer, filter, registry};

    use super::super::sink::LogSink;
    use super::*;
    use crate::export::ExportQueue;

    /// The records that `work` logs once the sink is open.
    fn records(work: impl FnOnce(&LogSink)) -> Vec<LogRecord> {
        let (sink, (lines, mut waiting, _)) =
            (LogSink::default(), ExportQueue::<LogLine>::unexported());
        let layer = sink.clone().with_filter(filter::filter_fn(LogSink::takes));
        tracing::subscriber::with_default(registry().with(layer), || {
            tracing::error!("before the sink is open");
            sink.open(lines);
            work(&sink);
        });
        let lines = std::iter::from_fn(|| waiting.try_recv().ok());
        lines.map(Into::into).collect()
    }

    #[test]
    fn a_record_carries_the_event_and_its_trace() {
        let mut context = CallContext::root(None);
        context.trace.sampled = true;
        let long = "x".repeat(300);
        let records = records(|_| {
            context.sync_scope(
                || tracing::warn!(target: "vitalmesh::call", count = 3, up = true, long, "told"),
            );
        });
        let [record] = records.as_slice() else {
            panic!("{records:?}")
        };
        assert_eq!(record.body, Some(Value::from("told").into()));
        assert_eq!(
            (record.severity_number, &*record.severity_text),
            (13, "WARN")
        );
        assert_eq!(record.trace_id, context.trace.trace_id.to_be_bytes());
        assert_eq!(record.span_id, context.trace.span_id.to_be_bytes());
        assert_eq!(record.flags, 1);
        let expected = [
            ("count", Value::Number(3)),
            ("long", Value::Text(long[..256].to_owned())),
            ("up", "true".into()),
            ("target", "vitalmesh::call".into()),
        ];
        assert_eq!(record.attributes, expected.map(KeyValue::from));
    }

    #[test]
    fn a_record_outside_a_call_has_no_ids_and_falls_back_to_its_target() {
        let records = records(|_| tracing::info!(target: "vitalmesh::quiet", count = 1));
        assert_eq!(records.len(), 1);
        assert_eq!(
            records[0].body,
            Some(Value::from("vitalmesh::quiet").into())
        );
        assert!(records[0].trace_id.is_empty() && records[0].span_id.is_empty());
    }

    #[test]
    fn only_warnings_of_other_crates_are_exported() {
        let records = records(|_| {
            tracing::info!(target: "h2::codec", "no");
            tracing::warn!(target: "h2::codec", "a warning");
            tracing::debug!(target: "vitalmesh_edge::store", "ours");
        });
        let bodies: Vec<_> = records.into_iter().map(|record| record.body).collect();
        let expected = ["a warning", "ours"].map(|text| Some(Value::from(text).into()));
        assert_eq!(bodies, expected);
    }

    #[test]
    fn a_sink_keeps_its_first_queue() {
        let (second, mut unused, _) = ExportQueue::unexported();
        let records = records(|sink| {
            sink.open(second);
            tracing::warn!("a line");
        });
        assert_eq!(records.len(), 1);
        assert!(unused.try_recv().is_err());
    }
}
