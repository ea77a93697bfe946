//! One task from run to run: when it is due, how it ended, and what is said of that.

use std::panic::AssertUnwindSafe;
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use futures_util::FutureExt;
use tokio::time::Instant;

use super::Task;
use super::metrics::{Outcome, TaskMetrics};
use crate::context::CallContext;

/// One task with what is remembered from run to run.
pub(super) struct Runner {
    task: Task,
    metrics: TaskMetrics,
    busy: AtomicBool,
    last_occurrence: AtomicI64,
    failing: Mutex<Option<String>>,
}

/// What begins a run.
#[derive(Clone, Copy, Debug)]
pub(super) enum Trigger {
    /// The start of the service: at once, without the task's phase.
    Start,
    /// The schedule, whose time was this long ago.
    Schedule { late: Duration },
}

/// Frees the runner also when its run is dropped half-way.
struct Busy<'a>(&'a AtomicBool);

// === impl Runner ===

impl Runner {
    pub(super) fn new(task: Task, metrics: TaskMetrics) -> Self {
        Self {
            task,
            metrics,
            busy: AtomicBool::new(false),
            last_occurrence: AtomicI64::new(i64::MIN),
            failing: Mutex::new(None),
        }
    }

    pub(super) const fn is_off(&self) -> bool {
        self.task.schedule.is_off()
    }

    pub(super) const fn at_start(&self) -> bool {
        self.task.at_start
    }

    pub(super) fn cron(&self) -> String {
        self.task.schedule.to_string()
    }

    /// No run begins any more.
    pub(super) fn disable(&self) {
        self.metrics.set_enabled(false);
    }

    /// Whether a run is due: the scheduler fires twice for one time when its bookkeeping is late.
    pub(super) fn fire(&self) -> Option<Trigger> {
        let (second, late) = self.task.schedule.last();
        let new = self.last_occurrence.swap(second, Ordering::AcqRel) != second;
        new.then_some(Trigger::Schedule { late })
    }

    pub(super) async fn run(&self, trigger: Trigger) {
        self.metrics.plan(&self.task.schedule);
        if self.busy.swap(true, Ordering::AcqRel) {
            self.metrics.count(Outcome::Skipped);
            tracing::warn!(task = self.task.name, "still running, this run is skipped");
            return;
        }
        let _busy = Busy(&self.busy);
        if let Trigger::Schedule { late } = trigger {
            let due = Instant::now() + self.task.phase;
            tokio::time::sleep_until(due).await;
            self.metrics.late(late + due.elapsed());
        }
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
    use std::sync::Arc;
    use std::sync::atomic::AtomicU32;

    use futures_util::future::BoxFuture;
    use prometheus::Registry;
    use tokio::sync::Notify;
    use tracing::Level;
    use tracing_subscriber::layer::{Context, SubscriberExt};

    use super::*;
    use crate::stack::BoxError;

    /// The levels of what is logged.
    struct Levels(Arc<Mutex<Vec<Level>>>);

    impl<S: tracing::Subscriber> tracing_subscriber::Layer<S> for Levels {
        fn on_event(&self, event: &tracing::Event<'_>, _: Context<'_, S>) {
            self.0.lock().unwrap().push(*event.metadata().level());
        }
    }

    const SECOND: Duration = Duration::from_secs(1);

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

    fn value(registry: &Registry, series: &str) -> f64 {
        let (_, page) = grpc_prometheus::encode(registry, None);
        let line = page.lines().find_map(|line| line.strip_prefix(series));
        line.unwrap().trim().parse().unwrap()
    }

    fn runs(registry: &Registry) -> [f64; 3] {
        ["success", "error", "skipped"].map(|outcome| {
            let series = format!(r#"mesh_task_runs_total{{outcome="{outcome}",task="test"}}"#);
            value(registry, &series)
        })
    }

    /// How many runs were observed, and by how much they were late together.
    fn late(registry: &Registry) -> [f64; 2] {
        ["count", "sum"].map(|part| {
            let series = format!(r#"mesh_task_start_delay_seconds_{part}{{task="test"}}"#);
            value(registry, &series)
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
        assert_eq!(runs(&registry), [0.0, 0.0, 0.0]);
        for expected in [
            [0.0, 1.0, 0.0],
            [0.0, 2.0, 0.0],
            [0.0, 3.0, 0.0],
            [1.0, 3.0, 0.0],
        ] {
            runner.run(Trigger::Start).await;
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
        tokio::join!(runner.run(Trigger::Start), async {
            runner.run(Trigger::Start).await;
            assert_eq!(runs(&registry), [0.0, 0.0, 1.0]);
            release.notify_one();
        });
        assert_eq!(runs(&registry), [1.0, 0.0, 1.0]);
    }

    #[tokio::test(start_paused = true)]
    async fn a_run_that_is_dropped_leaves_the_task_free() {
        let mut task = task(|| async { Ok(()) }.boxed());
        task.phase = Duration::from_secs(9);
        let (runner, registry) = runner(task);
        let waits = runner.run(Trigger::Schedule { late: SECOND });
        tokio::time::timeout(SECOND, waits).await.unwrap_err();
        runner.run(Trigger::Start).await;
        assert_eq!(runs(&registry), [1.0, 0.0, 0.0]);
    }

    #[tokio::test(start_paused = true)]
    async fn a_run_is_late_by_what_is_beyond_its_schedule_and_its_phase() {
        let mut task = task(|| async { Ok(()) }.boxed());
        task.phase = 4 * SECOND;
        let (runner, registry) = runner(task);
        assert_eq!(late(&registry), [0.0, 0.0]);
        runner.run(Trigger::Start).await;
        assert_eq!(late(&registry), [0.0, 0.0]);
        runner.run(Trigger::Schedule { late: SECOND / 4 }).await;
        assert_eq!(late(&registry), [1.0, 0.25]);
    }

    #[tokio::test(start_paused = true)]
    async fn a_time_of_the_schedule_begins_one_run() {
        let mut task = task(|| async { Ok(()) }.boxed());
        task.schedule = "0 0 0 1 1 *".parse().unwrap();
        let (runner, _) = runner(task);
        assert!(runner.fire().is_some());
        let again = runner.fire();
        assert!(again.is_none(), "{again:?}");
    }

    #[tokio::test(start_paused = true)]
    async fn a_failure_is_logged_when_it_begins_and_when_it_ends() {
        let turn = Arc::new(AtomicU32::new(0));
        let (runner, _) = runner(task(move || {
            let turn = turn.fetch_add(1, Ordering::Relaxed);
            // Away, there, away, each for three runs.
            async move {
                match turn / 3 {
                    1 => Ok(()),
                    _ => Err("away".into()),
                }
            }
            .boxed()
        }));
        let logged = Arc::new(Mutex::new(Vec::new()));
        let levels = Levels(Arc::clone(&logged));
        let _logs = tracing::subscriber::set_default(tracing_subscriber::registry().with(levels));
        for _ in 0..9 {
            runner.run(Trigger::Start).await;
        }
        assert_eq!(
            *logged.lock().unwrap(),
            [Level::WARN, Level::INFO, Level::WARN]
        );
    }
}
