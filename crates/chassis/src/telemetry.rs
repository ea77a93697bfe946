//! Logs: one line an event, for a person or for a machine.

mod fields;
mod format;
mod line;
mod sink;

use std::future::Future;
use std::io::IsTerminal;
use std::panic::PanicHookInfo;

use clap::ValueEnum;
use http::Uri;
use prometheus::Registry;
use tracing_subscriber::filter::{FilterExt, Targets, filter_fn};
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{Layer, fmt};

use self::format::{Human, Json};
pub(crate) use self::sink::LogSink;
use crate::export;
use crate::export::otlp::Resource;

/// How a log line looks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum LogFormat {
    /// Time, level, target, message and fields, for reading.
    Human,
    /// One JSON object a line, for collecting.
    Json,
}

impl LogFormat {
    /// Human on a terminal, JSON otherwise.
    pub(crate) fn detect() -> Self {
        match std::io::stderr().is_terminal() {
            true => Self::Human,
            false => Self::Json,
        }
    }
}

/// Sends the process's events to standard error from now on, and its panics with them. The first
/// caller wins, so that several services in one process share one log; it gets where the lines can
/// also be sent.
pub(crate) fn init(format: LogFormat, levels: Targets) -> Option<LogSink> {
    let lines = fmt::layer().with_writer(std::io::stderr).with_ansi(false);
    let lines = match format {
        LogFormat::Human => lines.event_format(Human).boxed(),
        LogFormat::Json => lines.event_format(Json).boxed(),
    };
    // Spans cost nothing while nobody records them: a line's trace comes from the call's context.
    let events = filter_fn(|metadata| metadata.is_event());
    let sink = LogSink::default();
    let exported = filter_fn(|metadata| metadata.is_event() && LogSink::takes(metadata));
    let started = tracing_subscriber::registry()
        .with(lines.with_filter(levels.clone().and(events)))
        .with(sink.clone().with_filter(levels.and(exported)))
        .try_init();
    started.ok()?;
    std::panic::set_hook(Box::new(log_panic));
    Some(sink)
}

/// Sends the lines that `sink` gets to `collector`, if there are both; their counts are in
/// `registry` anyway. What it gives sends the last ones. Needs a runtime.
pub(crate) fn export(
    sink: Option<&LogSink>,
    collector: Option<&Uri>,
    resource: &Resource,
    registry: &Registry,
) -> prometheus::Result<impl Future<Output = ()> + Send + use<>> {
    let collector = collector.filter(|_| sink.is_some());
    let (lines, flush) = export::start(collector, resource, registry)?;
    if let (Some(sink), Some(lines)) = (sink, lines) {
        sink.open(lines);
    }
    Ok(flush)
}

fn log_panic(info: &PanicHookInfo<'_>) {
    let message = info.payload_as_str().unwrap_or("(not a text)");
    let location = info.location().map(ToString::to_string);
    tracing::error!(
        target: "vitalmesh::panic",
        location = location.as_deref().unwrap_or("(unknown)"),
        message,
    );
}
