//! The scheduler of a service's tasks.

use std::sync::Arc;

use futures_util::FutureExt;
use prometheus::Registry;
use tokio_cron_scheduler::{Job, JobScheduler, JobSchedulerError};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use tower::BoxError;
use vitalmesh_context::ServiceContext;

use crate::metrics::TaskMetrics;
use crate::runner::{Runner, Trigger};
use crate::task::Task;

/// The running tasks of one service.
pub struct Tasks {
    scheduler: JobScheduler,
    stop: CancellationToken,
    runs: TaskTracker,
    runners: Vec<Arc<Runner>>,
    service: ServiceContext,
}

// === impl Tasks ===

impl Tasks {
    /// Starts the tasks of the current service and registers their metrics.
    ///
    /// # Errors
    ///
    /// If two tasks have the same name, or the scheduler rejects a schedule.
    pub async fn start(tasks: Vec<Task>, registry: &Registry) -> Result<Self, BoxError> {
        let mut started = Self {
            scheduler: JobScheduler::new().await?,
            stop: CancellationToken::new(),
            runs: TaskTracker::new(),
            runners: Vec::new(),
            service: ServiceContext::current(),
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
        let Some(cron) = runner.cron() else {
            return Ok(());
        };
        if runner.at_start() {
            let first = run(Arc::clone(&runner), Trigger::Start, self.stop.clone());
            self.runs.spawn(self.service.scope(first));
        }
        let (stop, runs, service) = (self.stop.clone(), self.runs.clone(), self.service);
        let job = Job::new_async(cron, move |_, _| {
            if let Some(trigger) = runner.fire() {
                let run = run(Arc::clone(&runner), trigger, stop.clone());
                runs.spawn(service.scope(run));
            }
            async {}.boxed()
        })?;
        self.scheduler.add(job).await.map(drop)
    }

    /// Cancels the schedules and drops the runs in progress. Returns once they are dropped.
    pub async fn stop(mut self) {
        self.stop.cancel();
        for runner in &self.runners {
            runner.disable();
        }
        if let Err(error) = self.scheduler.shutdown().await {
            tracing::warn!(%error, "cannot stop the scheduler");
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
    use prometheus::TextEncoder;
    use tokio::sync::mpsc::error::TryRecvError;
    use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};

    use std::time::Duration;

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
        let page = TextEncoder::new().encode_to_string(&registry.gather());
        let page = page.unwrap();
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
    async fn each_run_works_for_the_service_that_started_the_tasks() {
        for (schedule, at_start) in [("* * * * * *", false), ("0 0 0 1 1 *", true)] {
            let (mut task, _runs) = task(schedule, at_start);
            let (ran, mut services) = unbounded_channel();
            task.work = Box::new(move || {
                let ran = ran.clone();
                async move { Ok(ran.send(ServiceContext::current())?) }.boxed()
            });
            let service = ServiceContext::new("time");
            let registry = Registry::new();
            let tasks = service.scope(Tasks::start(vec![task], &registry)).await;
            assert_eq!(services.recv().await, Some(service), "{schedule}");
            tasks.unwrap().stop().await;
        }
    }

    #[tokio::test]
    async fn a_disabled_task_does_not_run_at_start() {
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
