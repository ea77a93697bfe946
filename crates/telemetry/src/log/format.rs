//! The two log formats. Both escape values, so that a client cannot forge a line.

use std::fmt;

use jiff::Timestamp;
use serde_json::Value;
use tracing::{Event, Subscriber};
use tracing_subscriber::fmt::format::Writer;
use tracing_subscriber::fmt::{FmtContext, FormatEvent, FormatFields};
use tracing_subscriber::registry::LookupSpan;

use super::fields::Fields;
use vitalmesh_context::{CallContext, ServiceContext};

/// `12:00:00.000 WARN  call ended service=edge method=… code=Internal … trace_id=…`
#[derive(Clone, Copy, Debug)]
pub(super) struct Human;

/// `{"timestamp":"…","level":"WARN","target":"…","message":"…","service":"…",…,"trace_id":"…"}`
#[derive(Clone, Copy, Debug)]
pub(super) struct Json;

impl<S, N> FormatEvent<S, N> for Human
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
{
    fn format_event(
        &self,
        _: &FmtContext<'_, S, N>,
        mut writer: Writer<'_>,
        event: &Event<'_>,
    ) -> fmt::Result {
        let mut line = Line::of(event);
        let now = jiff::Zoned::now();
        let level = event.metadata().level();
        write!(writer, "{} {level:5} ", now.strftime("%H:%M:%S%.3f"))?;
        match line.message.as_ref().and_then(Value::as_str) {
            Some(message) => write!(writer, "{message}")?,
            None => write!(writer, "{}", event.metadata().target())?,
        }
        for (name, value) in line.fields() {
            match value {
                Value::String(text) if is_plain(&text) => write!(writer, " {name}={text}")?,
                value => write!(writer, " {name}={value}")?,
            }
        }
        writeln!(writer)
    }
}

impl<S, N> FormatEvent<S, N> for Json
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
{
    fn format_event(
        &self,
        _: &FmtContext<'_, S, N>,
        mut writer: Writer<'_>,
        event: &Event<'_>,
    ) -> fmt::Result {
        let meta = event.metadata();
        let mut line = Line::of(event);
        let timestamp = Timestamp::now();
        write!(writer, r#"{{"timestamp":"{timestamp:.6}""#)?;
        write!(
            writer,
            r#","level":"{}","target":{}"#,
            meta.level(),
            Value::from(meta.target())
        )?;
        if let Some(message) = line.message.take() {
            write!(writer, r#","message":{message}"#)?;
        }
        for (name, value) in line.fields() {
            write!(writer, ",{}:{value}", Value::from(name))?;
        }
        writeln!(writer, "}}")
    }
}

/// What both formats write, in one order.
struct Line {
    message: Option<Value>,
    service: Option<Value>,
    fields: Fields,
    trace_id: Option<Value>,
}

// === impl Line ===

impl Line {
    /// The event, with the service and the trace id of its call.
    fn of(event: &Event<'_>) -> Self {
        let mut fields = Fields::of(event);
        let context = CallContext::current();
        let service = ServiceContext::current().name();
        Self {
            message: fields.take("message"),
            service: fields.take("service").or_else(|| service.map(Value::from)),
            fields,
            trace_id: context.map(|context| context.trace.to_string().into()),
        }
    }

    /// The service, the event's own fields, and the trace id.
    fn fields(&mut self) -> impl Iterator<Item = (&'static str, Value)> {
        let service = self.service.take().map(|service| ("service", service));
        let trace_id = self.trace_id.take().map(|id| ("trace_id", id));
        let fields = std::mem::take(&mut self.fields);
        service.into_iter().chain(fields).chain(trace_id)
    }
}

fn is_plain(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|b| b.is_ascii_graphic() && b != b'"')
}

#[cfg(test)]
pub(super) mod tests {
    use std::io;
    use std::sync::{Arc, Mutex};

    use tracing::Dispatch;
    use tracing_subscriber::fmt;
    use tracing_subscriber::{Registry, prelude::*};

    use super::super::LogFormat;
    use super::super::limit::LineLimit;
    use super::*;

    #[derive(Clone, Default)]
    struct Lines(Arc<Mutex<Vec<u8>>>);

    impl io::Write for Lines {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    /// What `work` logs in a format.
    fn written(
        limit: Option<(&LineLimit, &str)>,
        format: LogFormat,
        work: impl FnOnce(),
    ) -> String {
        let lines = Lines::default();
        let writer = lines.clone();
        let layer = fmt::layer().with_writer(move || writer.clone());
        let limit = limit.map(|(limit, levels)| limit.layer(levels.parse().unwrap()));
        let subscriber = Registry::default().with(limit);
        let dispatch: Dispatch = match format {
            LogFormat::Human => subscriber.with(layer.event_format(Human)).into(),
            LogFormat::Json => subscriber.with(layer.event_format(Json)).into(),
        };
        tracing::dispatcher::with_default(&dispatch, work);
        String::from_utf8(lines.0.lock().unwrap().clone()).unwrap()
    }

    /// The lines that `work` logs.
    pub(in crate::log) fn json_lines(
        limit: Option<(&LineLimit, &str)>,
        work: impl FnOnce(),
    ) -> Vec<Value> {
        let text = written(limit, LogFormat::Json, work);
        let lines = text.lines();
        lines
            .map(|line| serde_json::from_str(line).unwrap())
            .collect()
    }

    fn log_hostile_values() {
        let log = || tracing::warn!(name = "a\n\u{1b}[31mb\u{202e}", count = 3, "ended");
        ServiceContext::new("edge").sync_scope(|| CallContext::root(None).sync_scope(log));
    }

    #[test]
    fn a_json_line_is_one_object_with_its_keys_in_one_order() {
        let text = written(None, LogFormat::Json, log_hostile_values);
        assert_eq!(text.lines().count(), 1);
        let line: Value = serde_json::from_str(&text).unwrap();
        assert_eq!(line["message"], "ended");
        assert_eq!(line["count"], 3);
        assert_eq!(line["name"], r"a\n\u{1b}[31mb\u{202e}");
        assert_eq!(line["service"], "edge");
        assert_eq!(line["trace_id"].as_str().unwrap().len(), 32);
        let keys = text.split("\"").skip(1).step_by(2);
        let keys: Vec<_> = keys.filter(|key| line.get(key).is_some()).collect();
        let expected = [
            "timestamp",
            "level",
            "target",
            "message",
            "service",
            "name",
            "count",
            "trace_id",
        ];
        assert_eq!(keys, expected, "{text}");
        // As long in every line: 2026-11-28T12:00:00.000000Z
        assert_eq!(line["timestamp"].as_str().unwrap().len(), 27, "{text}");
    }

    #[test]
    fn an_events_own_service_is_the_lines_service() {
        let lines = json_lines(None, || tracing::info!(at = 1, service = "time", "serving"));
        assert_eq!(lines[0]["service"], "time");
        assert_eq!(lines[0].as_object().unwrap().len(), 6);
    }

    #[test]
    fn client_text_never_reaches_a_terminal_unescaped() {
        let text = written(None, LogFormat::Human, log_hostile_values);
        assert_eq!(text.lines().count(), 1);
        assert!(!text.contains('\u{1b}'));
        assert!(!text.contains('\u{202e}'));
        assert!(text.contains("WARN  ended service=edge name="), "{text}");
        assert!(text.contains(" count=3 trace_id="), "{text}");
    }
}
