//! A task: a name, a schedule and the work.

use std::fmt;
use std::time::Duration;

use futures_util::future::BoxFuture;
use tower::BoxError;

use crate::schedule::Schedule;

/// Work that runs on a schedule.
pub struct Task {
    /// The name in metrics, logs and spans; unique in a service.
    pub name: &'static str,
    /// The schedule, in UTC. With `off`, the task never runs and `mesh_task_enabled` is 0.
    pub schedule: Schedule,
    /// The delay after each scheduled time, which spreads the runs of many instances.
    pub phase: Duration,
    /// The timeout of one run. A longer run is dropped and counted as an error.
    pub timeout: Duration,
    /// Whether the task also runs when the service starts, without the phase.
    pub at_start: bool,
    /// Returns the future of one run.
    pub work: Box<dyn Fn() -> BoxFuture<'static, Result<(), BoxError>> + Send + Sync>,
}

// === impl Task ===

impl fmt::Debug for Task {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Task")
            .field("name", &self.name)
            .field("schedule", &self.schedule)
            .finish_non_exhaustive()
    }
}
