//! Where log lines go besides standard error.

use std::sync::{Arc, OnceLock};

use tracing::{Event, Level, Metadata, Subscriber};
use tracing_subscriber::Layer;
use tracing_subscriber::layer::Context;

use super::line::Line;
use crate::export::Outbox;

/// Takes the lines of the process's log from when it is opened; until then it is one check.
#[derive(Clone, Debug, Default)]
pub(crate) struct LogSink {
    lines: Arc<OnceLock<Outbox<Line>>>,
}

// === impl LogSink ===

impl LogSink {
    /// The first outbox is kept.
    pub(crate) fn open(&self, lines: Outbox<Line>) {
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
            lines.put(Line::of(event));
        }
    }
}
