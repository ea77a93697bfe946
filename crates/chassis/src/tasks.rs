//! Scheduled tasks: cron by tokio-cron-scheduler, each run bounded, observed and never doubled.

mod metrics;
mod runner;
mod schedule;

use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use prometheus::Registry;
use tokio_cron_scheduler::{Job, JobScheduler, JobSchedulerError};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use self::metrics::TaskMetrics;
use self::runner::{Runner, Trigger};
pub use self::schedule::{Schedule, ScheduleError};
use crate::stack::BoxError;

/// Work that is done again and again.
pub struct Task {
    /// Names the task in metrics and logs.
    pub name: &'static str,
    /// When it runs, in UTC. One that is off never runs, and says so in its metrics.
    pub schedule: Schedule,
    /// How long after each scheduled time the work begins, to spread many instances.
    pub phase: Duration,
    /// How long one run may take before it is dropped.
    pub timeout: Duration,
    /// Whether it also runs when the service starts, at once.
    pub at_start: bool,
    /// The work of one run.
    pub work: Box<dyn Fn() -> BoxFuture<'static, Result<(), BoxError>> + Send + Sync>,
}

/// The tasks of one service, running until they are stopped.
pub(crate) struct Tasks {
    scheduler: JobScheduler,
    stop: CancellationToken,
    runs: TaskTracker,
    runners: Vec<Arc<Runner>>,
}

// === impl Task ===

impl std::fmt::Debug for Task {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Task")
            .field("name", &self.name)
            .field("schedule", &self.schedule)
            .finish_non_exhaustive()
    }
}

// === impl Tasks ===

impl Tasks {
    /// Begins to run the tasks; their metrics are in `registry` from now on.
    pub(crate) async fn start(tasks: Vec<Task>, registry: &Registry) -> Result<Self, BoxError> {
        let mut started = Self {
            scheduler: JobScheduler::new().await?,
            stop: CancellationToken::new(),
            runs: TaskTracker::new(),
            runners: Vec::new(),
        };
        for task in tasks {
            let metrics = TaskMetrics::register(registry, &task)?;
            started.add(Arc::new(Runner::new(task, metrics))).await?;
        }
        started.scheduler.start().await?;
        Ok(started)
    }

    async fn add(&mut self, runner: Arc<Runner>) -> Result<(), JobSchedulerError> {
        self.runners.push(Arc::clone(&runner));
        if runner.is_off() {
            return Ok(());
        }
        if runner.at_start() {
            let first = run(Arc::clone(&runner), Trigger::Start, self.stop.clone());
            self.runs.spawn(first);
        }
        let (stop, runs) = (self.stop.clone(), self.runs.clone());
        let job = Job::new_async(runner.cron(), move |_, _| {
            if let Some(trigger) = runner.fire() {
                runs.spawn(run(Arc::clone(&runner), trigger, stop.clone()));
            }
            async {}.boxed()
        })?;
        self.scheduler.add(job).await.map(drop)
    }

    /// Begins no run any more and waits for those that are running to notice.
    pub(crate) async fn stop(mut self) {
        self.stop.cancel();
        for runner in &self.runners {
            runner.disable();
        }
        if let Err(error) = self.scheduler.shutdown().await {
            tracing::warn!(%error, "the scheduler did not stop");
        }
        self.runs.close();
        self.runs.wait().await;
    }
}

impl std::fmt::Debug for Tasks {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Tasks").finish_non_exhaustive()
    }
}

async fn run(runner: Arc<Runner>, trigger: Trigger, stop: CancellationToken) {
    tokio::select! {
        () = runner.run(trigger) => {}
        () = stop.cancelled() => {}
    }
}

#[cfg(test)]
mod tests {
    use tokio::sync::mpsc::error::TryRecvError;
    use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};

    use super::*;

    fn task(schedule: &str, at_start: bool) -> (Task, UnboundedReceiver<()>) {
        let (ran, runs) = unbounded_channel();
        let task = Task {
            name: "test",
            schedule: schedule.parse().unwrap(),
            phase: Duration::ZERO,
            timeout: Duration::from_secs(3),
            at_start,
            work: Box::new(move || {
                let ran = ran.clone();
                async move { Ok(ran.send(())?) }.boxed()
            }),
        };
        (task, runs)
    }

    fn enabled(registry: &Registry) -> String {
        let (_, page) = grpc_prometheus::encode(registry, None);
        let series = r#"mesh_task_enabled{task="test"} "#;
        let line = page.lines().find_map(|line| line.strip_prefix(series));
        line.map(str::to_owned).unwrap()
    }

    #[tokio::test]
    async fn the_scheduler_runs_a_task_until_it_is_stopped() {
        let (task, mut runs) = task("* * * * * *", false);
        let registry = Registry::new();
        let tasks = Tasks::start(vec![task], &registry).await.unwrap();
        runs.recv().await.unwrap();
        assert_eq!(enabled(&registry), "1");
        tasks.stop().await;
        assert_eq!(enabled(&registry), "0");
        while runs.try_recv().is_ok() {}
        assert!(runs.is_empty());
    }

    #[tokio::test]
    async fn a_task_that_is_off_does_not_even_run_at_the_start() {
        let (task, mut runs) = task("off", true);
        let registry = Registry::new();
        let tasks = Tasks::start(vec![task], &registry).await.unwrap();
        assert_eq!(enabled(&registry), "0");
        tasks.runs.close();
        tasks.runs.wait().await;
        assert_eq!(runs.try_recv(), Err(TryRecvError::Empty));
        tasks.stop().await;
    }
}
