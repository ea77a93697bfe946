//! Log output to an OTLP collector, beside standard error.

use std::sync::{Arc, OnceLock};

use tracing::{Event, Level, Metadata, Subscriber};
use tracing_subscriber::Layer;
use tracing_subscriber::layer::Context;

use super::record::LogLine;
use crate::export::ExportQueue;

/// The process's log as a tracing layer that queues lines for export.
///
/// Drops lines until a service opens it. Clones share one queue.
#[derive(Clone, Debug, Default)]
pub struct LogSink {
    lines: Arc<OnceLock<ExportQueue<LogLine>>>,
}

// === impl LogSink ===

impl LogSink {
    /// Starts to queue lines. Only the first call has an effect.
    pub(crate) fn open(&self, lines: ExportQueue<LogLine>) {
        let _ = self.lines.set(lines);
    }

    /// Which lines may be exported: those of the mesh's own code, and warnings of other code. What
    /// HTTP/2 says at lower levels of each export would be exported in turn.
    pub(super) fn takes(metadata: &Metadata<'_>) -> bool {
        metadata.target().starts_with("vitalmesh") || *metadata.level() <= Level::WARN
    }
}

impl<S: Subscriber> Layer<S> for LogSink {
    fn on_event(&self, event: &Event<'_>, _: Context<'_, S>) {
        if let Some(lines) = self.lines.get() {
            lines.push(LogLine::of(event));
        }
    }
}
