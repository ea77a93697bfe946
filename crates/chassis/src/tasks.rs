//! Scheduled tasks: cron by tokio-cron-scheduler, each run bounded, observed and never doubled.

mod metrics;
mod schedule;

use std::panic::AssertUnwindSafe;
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use prometheus::Registry;
use tokio_cron_scheduler::{Job, JobScheduler, JobSchedulerError};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use self::metrics::{Outcome, TaskMetrics};
pub use self::schedule::{Schedule, ScheduleError};
use crate::context::CallContext;
use crate::stack::BoxError;

/// Work that is done again and again.
pub struct Task {
    /// Names the task in metrics and logs.
    pub name: &'static str,
    /// When it runs, in UTC.
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
}

/// One task with what is remembered from run to run.
struct Runner {
    task: Task,
    metrics: TaskMetrics,
    busy: AtomicBool,
    last_occurrence: AtomicI64,
    failing: Mutex<Option<String>>,
}

/// Frees the runner also when its run is dropped half-way.
struct Busy<'a>(&'a AtomicBool);

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
        let started = Self {
            scheduler: JobScheduler::new().await?,
            stop: CancellationToken::new(),
            runs: TaskTracker::new(),
        };
        for task in tasks {
            let metrics = TaskMetrics::register(registry, &task)?;
            started.add(Arc::new(Runner::new(task, metrics))).await?;
        }
        started.scheduler.start().await?;
        Ok(started)
    }

    async fn add(&self, runner: Arc<Runner>) -> Result<(), JobSchedulerError> {
        if runner.task.at_start {
            let now = Duration::ZERO;
            self.runs
                .spawn(run(Arc::clone(&runner), now, self.stop.clone()));
        }
        let phase = runner.task.phase;
        let (stop, runs) = (self.stop.clone(), self.runs.clone());
        let cron = runner.task.schedule.to_string();
        let job = Job::new_async(cron, move |_, _| {
            // The scheduler fires twice for one time when its bookkeeping is late.
            if runner.is_new_occurrence() {
                runs.spawn(run(Arc::clone(&runner), phase, stop.clone()));
            }
            async {}.boxed()
        })?;
        self.scheduler.add(job).await.map(drop)
    }

    /// Begins no run any more and waits for those that are running to notice.
    pub(crate) async fn stop(mut self) {
        self.stop.cancel();
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

async fn run(runner: Arc<Runner>, phase: Duration, stop: CancellationToken) {
    tokio::select! {
        () = runner.run(phase) => {}
        () = stop.cancelled() => {}
    }
}

// === impl Runner ===

impl Runner {
    fn new(task: Task, metrics: TaskMetrics) -> Self {
        Self {
            task,
            metrics,
            busy: AtomicBool::new(false),
            last_occurrence: AtomicI64::new(i64::MIN),
            failing: Mutex::new(None),
        }
    }

    fn is_new_occurrence(&self) -> bool {
        let now = self.task.schedule.last_second();
        self.last_occurrence.swap(now, Ordering::AcqRel) != now
    }

    async fn run(&self, phase: Duration) {
        self.metrics.plan(&self.task.schedule);
        if self.busy.swap(true, Ordering::AcqRel) {
            self.metrics.count(Outcome::Skipped);
            tracing::warn!(task = self.task.name, "still running, this run is skipped");
            return;
        }
        let _busy = Busy(&self.busy);
        tokio::time::sleep(phase).await;
        let timer = self.metrics.begin();
        let ended = self.work().await;
        drop(timer);
        self.metrics.count(match ended {
            Ok(()) => Outcome::Success,
            Err(_) => Outcome::Error,
        });
        self.log_change(ended.err());
    }

    async fn work(&self) -> Result<(), String> {
        let context = CallContext::root(Some(self.task.timeout));
        let work = async { (self.task.work)().await };
        let guarded = context.scope(AssertUnwindSafe(work).catch_unwind());
        match tokio::time::timeout(self.task.timeout, guarded).await {
            Ok(Ok(Ok(()))) => Ok(()),
            Ok(Ok(Err(error))) => Err(error.to_string()),
            Ok(Err(_)) => Err("the task panicked".to_owned()),
            Err(_) => Err(format!("took longer than {:?}", self.task.timeout)),
        }
    }

    /// Logs a failure when it begins and when it ends, not each time that it is seen.
    fn log_change(&self, error: Option<String>) {
        let mut failing = self.failing.lock().unwrap_or_else(PoisonError::into_inner);
        let task = self.task.name;
        match (&*failing, &error) {
            (None, Some(error)) => tracing::warn!(task, error, "task fails"),
            (Some(_), None) => tracing::info!(task, "task works again"),
            _ => {}
        }
        *failing = error;
    }
}

// === impl Busy ===

impl Drop for Busy<'_> {
    fn drop(&mut self) {
        self.0.store(false, Ordering::Release);
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::AtomicU32;

    use tokio::sync::Notify;

    use super::*;

    fn task(
        work: impl Fn() -> BoxFuture<'static, Result<(), BoxError>> + Send + Sync + 'static,
    ) -> Task {
        Task {
            name: "test",
            schedule: "* * * * * *".parse().unwrap(),
            phase: Duration::ZERO,
            timeout: Duration::from_secs(3),
            at_start: false,
            work: Box::new(work),
        }
    }

    fn runner(task: Task) -> (Runner, Registry) {
        let registry = Registry::new();
        let metrics = TaskMetrics::register(&registry, &task).unwrap();
        (Runner::new(task, metrics), registry)
    }

    fn runs(registry: &Registry) -> [u64; 3] {
        let (_, page) = grpc_prometheus::encode(registry, None);
        let page = String::from_utf8(page.into()).unwrap();
        ["success", "error", "skipped"].map(|outcome| {
            let series = format!(r#"mesh_task_runs_total{{outcome="{outcome}",task="test"}} "#);
            let line = page.lines().find_map(|line| line.strip_prefix(&series));
            line.unwrap().parse().unwrap()
        })
    }

    #[tokio::test(start_paused = true)]
    async fn a_run_ends_as_success_error_panic_or_timeout_and_the_next_one_runs() {
        let turn = Arc::new(AtomicU32::new(0));
        let (runner, registry) = runner(task(move || {
            let turn = turn.fetch_add(1, Ordering::Relaxed);
            async move {
                match turn {
                    0 => Err("refused".into()),
                    1 => panic!("on demand"),
                    2 => std::future::pending().await,
                    _ => Ok(()),
                }
            }
            .boxed()
        }));
        assert_eq!(runs(&registry), [0, 0, 0]);
        for expected in [[0, 1, 0], [0, 2, 0], [0, 3, 0], [1, 3, 0]] {
            runner.run(Duration::ZERO).await;
            assert_eq!(runs(&registry), expected);
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_run_that_overlaps_another_is_skipped() {
        let go = Arc::new(Notify::new());
        let release = Arc::clone(&go);
        let (runner, registry) = runner(task(move || {
            let go = Arc::clone(&go);
            async move {
                go.notified().await;
                Ok(())
            }
            .boxed()
        }));
        tokio::join!(runner.run(Duration::ZERO), async {
            runner.run(Duration::ZERO).await;
            assert_eq!(runs(&registry), [0, 0, 1]);
            release.notify_one();
        });
        assert_eq!(runs(&registry), [1, 0, 1]);
    }

    #[tokio::test(start_paused = true)]
    async fn a_run_that_is_dropped_leaves_the_task_free() {
        let (runner, registry) = runner(task(|| async { Ok(()) }.boxed()));
        let waits = runner.run(Duration::from_secs(9));
        tokio::time::timeout(Duration::from_secs(1), waits)
            .await
            .unwrap_err();
        runner.run(Duration::ZERO).await;
        assert_eq!(runs(&registry), [1, 0, 0]);
    }

    #[tokio::test]
    async fn the_scheduler_runs_a_task_until_it_is_stopped() {
        let (ran, mut runs) = tokio::sync::mpsc::unbounded_channel();
        let tasks = vec![task(move || {
            let ran = ran.clone();
            async move { Ok(ran.send(())?) }.boxed()
        })];
        let tasks = Tasks::start(tasks, &Registry::new()).await.unwrap();
        runs.recv().await.unwrap();
        tasks.stop().await;
        while runs.try_recv().is_ok() {}
        assert!(runs.is_empty());
    }
}
