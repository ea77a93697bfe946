//! The two log formats. Both escape values, so that a client cannot forge a line.

use std::fmt;

use jiff::Timestamp;
use serde_json::{Map, Value};
use tracing::{Event, Subscriber};
use tracing_subscriber::fmt::format::Writer;
use tracing_subscriber::fmt::{FmtContext, FormatEvent, FormatFields};
use tracing_subscriber::registry::LookupSpan;

use super::fields::Fields;
use vitalmesh_context::CallContext;

/// `12:00:00.000 WARN vitalmesh::call call ended code=Internal trace_id=…`
#[derive(Clone, Copy, Debug)]
pub(super) struct Human;

/// `{"timestamp":"…","level":"WARN","target":"…","message":"…",…}`
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
        let mut fields = traced(event);
        let meta = event.metadata();
        let now = jiff::Zoned::now();
        write!(
            writer,
            "{} {:5} ",
            now.strftime("%H:%M:%S%.3f"),
            meta.level()
        )?;
        let message = fields.remove("message");
        match message.as_ref().and_then(Value::as_str) {
            Some(message) => write!(writer, "{message}")?,
            None => write!(writer, "{}", meta.target())?,
        }
        for (name, value) in fields {
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
        let mut line = traced(event);
        line.insert("timestamp".to_owned(), Timestamp::now().to_string().into());
        line.insert("level".to_owned(), meta.level().as_str().into());
        line.insert("target".to_owned(), meta.target().into());
        writeln!(writer, "{}", Value::Object(line))
    }
}

/// The event's fields and the trace id of its call.
fn traced(event: &Event<'_>) -> Map<String, Value> {
    let mut fields = Fields::of(event);
    if let Some(context) = CallContext::current() {
        let trace = Value::String(context.trace.to_string());
        fields.insert("trace_id".to_owned(), trace);
    }
    fields
}

fn is_plain(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|b| b.is_ascii_graphic() && b != b'"')
}

#[cfg(test)]
mod tests {
    use std::io;
    use std::sync::{Arc, Mutex};

    use tracing_subscriber::fmt;
    use tracing_subscriber::prelude::*;

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

    fn log_hostile_values() {
        CallContext::root(None).sync_scope(|| {
            tracing::warn!(name = "a\n\u{1b}[31mb\u{202e}", count = 3, "ended");
        });
    }

    #[test]
    fn a_json_line_is_one_object_with_the_trace() {
        let lines = Lines::default();
        let writer = lines.clone();
        let layer = fmt::layer()
            .with_writer(move || writer.clone())
            .event_format(Json);
        tracing::subscriber::with_default(
            tracing_subscriber::registry().with(layer),
            log_hostile_values,
        );
        let text = String::from_utf8(lines.0.lock().unwrap().clone()).unwrap();
        assert_eq!(text.lines().count(), 1);
        let line: Value = serde_json::from_str(&text).unwrap();
        assert_eq!(line["message"], "ended");
        assert_eq!(line["count"], 3);
        assert_eq!(line["name"], r"a\n\u{1b}[31mb\u{202e}");
        assert_eq!(line["trace_id"].as_str().unwrap().len(), 32);
    }

    #[test]
    fn client_text_never_reaches_a_terminal_unescaped() {
        let lines = Lines::default();
        let writer = lines.clone();
        let layer = fmt::layer()
            .with_writer(move || writer.clone())
            .event_format(Human);
        tracing::subscriber::with_default(
            tracing_subscriber::registry().with(layer),
            log_hostile_values,
        );
        let text = String::from_utf8(lines.0.lock().unwrap().clone()).unwrap();
        assert_eq!(text.lines().count(), 1);
        assert!(!text.contains('\u{1b}'));
        assert!(!text.contains('\u{202e}'));
        assert!(text.contains("WARN  ended count=3 name="), "{text}");
    }
}
