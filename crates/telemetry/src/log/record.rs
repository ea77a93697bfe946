//! A log line, its OTLP message and its export.

use std::time::SystemTime;

use tonic::Status;
use tracing::{Event, Level};
use vitalmesh_context::{CallContext, TraceContext};
use vitalmesh_transport::Transport;

use super::fields::Fields;
use crate::export::{PartialSuccess, Resource, Signal, Value, attribute, nanos, scope};
use crate::otlp::collector::logs::v1::ExportLogsServiceRequest;
use crate::otlp::collector::logs::v1::logs_service_client::LogsServiceClient;
use crate::otlp::logs::v1::{LogRecord, ResourceLogs, ScopeLogs, SeverityNumber};

/// A log line to export. Texts are truncated to 256 bytes; tracing allows at most 32 fields.
#[derive(Debug)]
pub(crate) struct LogLine {
    at: SystemTime,
    level: Level,
    message: Value,
    attributes: Vec<(String, Value)>,
    /// The trace of the call that logged the line; `None` outside of calls.
    trace: Option<TraceContext>,
}

// === impl LogLine ===

impl LogLine {
    /// Copies an event, with the trace of the running call.
    pub(super) fn of(event: &Event<'_>) -> Self {
        let metadata = event.metadata();
        let mut fields = Fields::of(event);
        let message = fields.take("message");
        let target = ("target".to_owned(), metadata.target().into());
        let fields = fields
            .into_iter()
            .map(|(key, value)| (key.to_owned(), of_json(&value)));
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

    async fn export(
        collector: Transport,
        resource: &Resource,
        lines: Vec<Self>,
    ) -> Result<Option<PartialSuccess>, Status> {
        let scope_logs = ScopeLogs {
            scope: Some(scope()),
            log_records: lines.into_iter().map(Into::into).collect(),
            ..ScopeLogs::default()
        };
        let resource_logs = ResourceLogs {
            resource: Some(resource.message()),
            scope_logs: vec![scope_logs],
            ..ResourceLogs::default()
        };
        let request = ExportLogsServiceRequest {
            resource_logs: vec![resource_logs],
        };
        let response = LogsServiceClient::new(collector).export(request).await?;
        let partial = response.into_inner().partial_success;
        Ok(partial.map(|partial| PartialSuccess {
            rejected: partial.rejected_log_records,
            message: partial.error_message,
        }))
    }
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
            severity_number: severity(line.level).into(),
            severity_text: line.level.as_str().to_owned(),
            body: Some(line.message.into()),
            attributes: line.attributes.into_iter().map(attribute).collect(),
            flags: line.trace.is_some_and(|trace| trace.sampled).into(),
            trace_id,
            span_id,
            ..Self::default()
        }
    }
}

const fn severity(level: Level) -> SeverityNumber {
    match level {
        Level::TRACE => SeverityNumber::Trace,
        Level::DEBUG => SeverityNumber::Debug,
        Level::INFO => SeverityNumber::Info,
        Level::WARN => SeverityNumber::Warn,
        Level::ERROR => SeverityNumber::Error,
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
        let layer = sink
            .clone()
            .with_filter(filter::filter_fn(LogSink::accepts));
        tracing::subscriber::with_default(registry().with(layer), || {
            tracing::error!("before the sink is open");
            sink.open(lines);
            work(&sink);
        });
        let lines = std::iter::from_fn(|| waiting.try_recv().ok());
        lines.map(Into::into).collect()
    }

    /// The time of a record, which must be current.
    fn current_time(record: &LogRecord) -> u64 {
        let at = record.time_unix_nano;
        let age = nanos(SystemTime::now()).checked_sub(at);
        assert!(age.is_some_and(|age| age < 60_000_000_000), "{at}");
        at
    }

    #[test]
    fn a_record_carries_the_event_and_its_trace() {
        let mut context = CallContext::root(None);
        context.trace.sampled = true;
        let long = "x".repeat(300);
        let records = records(|_| {
            context.sync_scope(
                || tracing::warn!(target: "vitalmesh::call", count = 3, up = true, long, "ended"),
            );
        });
        let [record] = records.as_slice() else {
            panic!("{records:?}")
        };
        let attributes = [
            ("count", Value::Number(3)),
            ("up", "true".into()),
            ("long", Value::Text(long[..256].to_owned())),
            ("target", "vitalmesh::call".into()),
        ];
        let expected = LogRecord {
            time_unix_nano: current_time(record),
            severity_number: 13,
            severity_text: "WARN".to_owned(),
            body: Some(Value::from("ended").into()),
            attributes: attributes.map(attribute).into(),
            flags: 1,
            trace_id: context.trace.trace_id.to_be_bytes().into(),
            span_id: context.trace.span_id.to_be_bytes().into(),
            ..LogRecord::default()
        };
        assert_eq!(*record, expected);
    }

    #[test]
    fn a_record_outside_a_call_has_no_ids_and_falls_back_to_its_target() {
        let records = records(|_| tracing::info!(target: "vitalmesh::quiet", count = 1));
        let [record] = records.as_slice() else {
            panic!("{records:?}")
        };
        let target = Value::from("vitalmesh::quiet");
        let attributes = [("count", Value::Number(1)), ("target", target.clone())];
        let expected = LogRecord {
            time_unix_nano: current_time(record),
            severity_number: 9,
            severity_text: "INFO".to_owned(),
            body: Some(target.into()),
            attributes: attributes.map(attribute).into(),
            ..LogRecord::default()
        };
        assert_eq!(*record, expected);
    }

    #[test]
    fn each_level_has_its_severity_number() {
        let levels = [
            Level::TRACE,
            Level::DEBUG,
            Level::INFO,
            Level::WARN,
            Level::ERROR,
        ];
        assert_eq!(
            levels.map(|level| severity(level) as i32),
            [1, 5, 9, 13, 17]
        );
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
