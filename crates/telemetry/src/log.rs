//! The process's log: one line per event, for people or for machines.

mod fields;
mod format;
mod limit;
mod record;
mod sink;

use std::future::Future;
use std::io::IsTerminal;
use std::panic::PanicHookInfo;
use std::sync::OnceLock;

use clap::ValueEnum;
use http::Uri;
use prometheus::Registry;
use tracing_subscriber::filter::{FilterExt, Targets, filter_fn};
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{Layer, fmt};

use self::format::{Human, Json};
use self::limit::LineLimit;
pub use self::sink::LogSink;
use crate::export;
use crate::export::Resource;

static LIMIT: OnceLock<LineLimit> = OnceLock::new();

/// The format of log lines.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum LogFormat {
    /// Time, level, message and fields.
    Human,
    /// One JSON object per line.
    Json,
}

impl LogFormat {
    /// Human on a terminal, JSON otherwise.
    pub fn detect() -> Self {
        match std::io::stderr().is_terminal() {
            true => Self::Human,
            false => Self::Json,
        }
    }
}

/// Starts to log the process's events of these levels and its panics to standard error. Of warnings
/// and errors of one kind, ten are logged in 10 s, and the number of the others after that.
///
/// Returns the sink that exports the lines to a collector; see [`LogSink`] for the lines that are
/// not exported. Only the first call in a process has an effect; later ones return `None`, so that
/// several services in one process share one log.
pub fn init_log(format: LogFormat, levels: Targets) -> Option<LogSink> {
    let lines = fmt::layer().with_writer(std::io::stderr).with_ansi(false);
    let lines = match format {
        LogFormat::Human => lines.event_format(Human).boxed(),
        LogFormat::Json => lines.event_format(Json).boxed(),
    };
    // Spans are disabled: a line takes its trace from the call's context.
    let events = filter_fn(|metadata| metadata.is_event());
    let sink = LogSink::default();
    let exported = filter_fn(LogSink::accepts);
    let limit = LineLimit::default();
    let started = tracing_subscriber::registry()
        .with(limit.layer(levels.clone()))
        .with(lines.with_filter(levels.clone().and(events)))
        .with(sink.clone().with_filter(levels.and(exported)))
        .try_init();
    started.ok()?;
    std::panic::set_hook(Box::new(log_panic));
    if let Err(error) = LIMIT.get_or_init(|| limit).spawn_reports() {
        tracing::warn!(%error, "suppressed lines are reported only at the end");
    }
    Some(sink)
}

/// Logs how many lines were suppressed since the last report; for the end of a program.
pub fn report_suppressed_lines() {
    if let Some(limit) = LIMIT.get() {
        limit.report();
    }
}

/// Starts to export the lines of `sink` to `collector`, if both are present.
///
/// Registers the export counters in any case. The returned future stops the export and flushes the
/// queue. Needs a tokio runtime.
///
/// # Errors
///
/// If `registry` already has the counters.
pub fn export_log(
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
    let message = info.payload_as_str().unwrap_or("(no message)");
    let location = info.location().map(ToString::to_string);
    tracing::error!(
        target: "vitalmesh::panic",
        location = location.as_deref().unwrap_or("(unknown)"),
        message,
    );
}
