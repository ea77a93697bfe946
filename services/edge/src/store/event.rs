//! What a commit changes in the set of instances, for the log.

use std::time::Duration;

use crate::deadline::{DEFAULT_INTERVAL, elapsed, is_late};

use super::{Beat, InstanceStatus};

/// Logged after the commit. An instance that becomes late is an alert, not a line.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Event {
    First { beat: Beat },
    Back { beat: Beat, silent_for: Duration },
    Forgotten { service: String, instance: String },
}

// === impl Event ===

impl Event {
    /// The event of a beat, where it is one.
    pub(super) fn of(beat: &Beat, before: Option<&InstanceStatus>) -> Option<Self> {
        let Some(before) = before else {
            return Some(Self::First { beat: beat.clone() });
        };
        let interval = before.interval.unwrap_or(DEFAULT_INTERVAL);
        let (last_seen, now) = (before.last_seen, beat.received_at);
        is_late(last_seen, interval, now).then(|| Self::Back {
            beat: beat.clone(),
            silent_for: elapsed(last_seen, now),
        })
    }

    pub(super) fn log(&self) {
        match self {
            Self::First { beat } => tracing::info!(
                sender = beat.service,
                instance = beat.instance,
                version = beat.version,
                "first heartbeat of an instance"
            ),
            Self::Back { beat, silent_for } => tracing::info!(
                sender = beat.service,
                instance = beat.instance,
                silent_seconds = silent_for.as_secs_f64(),
                "heartbeats of an instance came back"
            ),
            Self::Forgotten { service, instance } => {
                tracing::info!(sender = service, instance, "silent instance forgotten");
            }
        }
    }
}
