//! Logs: one line an event, for a person or for a machine.

mod format;

use std::io::IsTerminal;
use std::panic::PanicHookInfo;

use clap::ValueEnum;
use tracing_subscriber::filter::{FilterExt, Targets, filter_fn};
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{Layer, fmt};

use self::format::{Human, Json};

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
/// caller wins, so that several services in one process share one log.
pub(crate) fn init(format: LogFormat, levels: Targets) {
    let lines = fmt::layer().with_writer(std::io::stderr).with_ansi(false);
    let lines = match format {
        LogFormat::Human => lines.event_format(Human).boxed(),
        LogFormat::Json => lines.event_format(Json).boxed(),
    };
    // Spans cost nothing while nobody records them: a line's trace comes from the call's context.
    let events = filter_fn(|metadata| metadata.is_event());
    let started = tracing_subscriber::registry()
        .with(lines.with_filter(levels.and(events)))
        .try_init();
    if started.is_ok() {
        std::panic::set_hook(Box::new(log_panic));
    }
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
