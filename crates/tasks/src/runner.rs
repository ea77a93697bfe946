//! Runs one task: once per scheduled time, one run at a time, within its timeout.

use std::panic::AssertUnwindSafe;
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use chrono::{DateTime, Utc};
use futures_util::FutureExt;
use tokio::time::Instant;

use vitalmesh_context::CallContext;

use crate::metrics::{Outcome, TaskMetrics};
use crate::task::Task;

/// One task and its state between runs.
pub(crate) struct Runner {
    task: Task,
    metrics: TaskMetrics,
    busy: AtomicBool,
    last_occurrence: AtomicI64,
    failing: Mutex<Option<String>>,
}

/// Why a run starts.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Trigger {
    /// The start of the service. The run has no start delay.
    Start,
    /// A scheduled time, which passed `late` ago.
    Schedule { time: DateTime<Utc>, late: Duration },
}

/// Releases the runner when a run ends or is dropped.
struct Busy<'a>(&'a AtomicBool);

// === impl Runner ===

impl Runner {
    pub(crate) fn new(task: Task, metrics: TaskMetrics) -> Self {
        Self {
            task,
            metrics,
            busy: AtomicBool::new(false),
            last_occurrence: AtomicI64::new(i64::MIN),
            failing: Mutex::new(None),
        }
    }

    pub(crate) const fn at_start(&self) -> bool {
        self.task.at_start
    }

    /// The schedule in the notation of tokio-cron-scheduler; `None` if it is off.
    pub(crate) fn cron(&self) -> Option<String> {
        self.task.schedule.to_croner()
    }

    /// Sets the metrics of a task that has stopped.
    pub(crate) fn disable(&self) {
        self.metrics.disable();
    }

    /// The trigger of a due run. `None` for a duplicate: a late scheduler fires twice for the same
    /// scheduled time.
    pub(crate) fn fire(&self) -> Option<Trigger> {
        let now = Utc::now();
        let time = self.task.schedule.last(now)?;
        let second = time.timestamp();
        let new = self.last_occurrence.swap(second, Ordering::AcqRel) != second;
        let late = (now - time).to_std().unwrap_or_default();
        new.then_some(Trigger::Schedule { time, late })
    }

    pub(crate) async fn run(&self, trigger: Trigger) {
        let delay = match trigger {
            Trigger::Start => None,
            Trigger::Schedule { time, late } => Some(self.wait(time, late).await),
        };
        if self.busy.swap(true, Ordering::AcqRel) {
            self.metrics.count(Outcome::Skipped);
            tracing::warn!(
                task = self.task.name,
                "previous run still in progress, run skipped"
            );
            return;
        }
        let _busy = Busy(&self.busy);
        if let Some(delay) = delay {
            self.metrics.start_delay(delay);
        }
        let timer = self.metrics.start_timer();
        let ended = self.work().await;
        drop(timer);
        self.metrics.count(match ended {
            Ok(()) => Outcome::Success,
            Err(_) => Outcome::Error,
        });
        self.log_change(ended.err());
    }

    /// Waits for the phase of a run that was scheduled at `time`, and returns how late the run is.
    async fn wait(&self, time: DateTime<Utc>, late: Duration) -> Duration {
        let due = Instant::now() + self.task.phase;
        tokio::time::sleep_until(due).await;
        self.metrics
            .set_next_run(self.task.schedule.after(time), self.task.phase);
        late + due.elapsed()
    }

    async fn work(&self) -> Result<(), String> {
        let context = CallContext::root(Some(self.task.timeout));
        let work = async { (self.task.work)().await };
        let guarded = context.scope(AssertUnwindSafe(work).catch_unwind());
        match tokio::time::timeout(self.task.timeout, guarded).await {
            Ok(Ok(Ok(()))) => Ok(()),
            Ok(Ok(Err(error))) => Err(error.to_string()),
            Ok(Err(_)) => Err("the task panicked".to_owned()),
            Err(_) => Err(format!("timed out after {:?}", self.task.timeout)),
        }
    }

    /// Logs the first failure and the recovery, not each failure.
    fn log_change(&self, error: Option<String>) {
        let mut failing = self.failing.lock().unwrap_or_else(PoisonError::into_inner);
        let task = self.task.name;
        match (&*failing, &error) {
            (None, Some(error)) => tracing::warn!(task, error, "task failed"),
            (Some(_), None) => tracing::info!(task, "task recovered"),
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
    use prometheus::TextEncoder;
    use tokio::sync::Notify;
    use tower::BoxError;
    use tracing::Level;
    use tracing_subscriber::layer::{Context, SubscriberExt};

    use super::*;

    /// Collects the levels of log lines.
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

    fn scheduled(late: Duration) -> Trigger {
        let time = Utc::now() - late;
        Trigger::Schedule { time, late }
    }

    fn runner(task: Task) -> (Runner, Registry) {
        let registry = Registry::new();
        let metrics = TaskMetrics::register(&registry, &task).unwrap();
        (Runner::new(task, metrics), registry)
    }

    fn value(registry: &Registry, series: &str) -> f64 {
        let page = TextEncoder::new().encode_to_string(&registry.gather());
        let page = page.unwrap();
        let line = page.lines().find_map(|line| line.strip_prefix(series));
        line.unwrap().trim().parse().unwrap()
    }

    fn runs(registry: &Registry) -> [f64; 3] {
        ["success", "error", "skipped"].map(|outcome| {
            let series = format!(r#"mesh_task_runs_total{{outcome="{outcome}",task="test"}}"#);
            value(registry, &series)
        })
    }

    /// Count and sum of the start delays.
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
    async fn the_task_runs_again_after_a_dropped_run() {
        let mut task = task(|| async { Ok(()) }.boxed());
        task.phase = Duration::from_secs(9);
        let (runner, registry) = runner(task);
        let waits = runner.run(scheduled(SECOND));
        tokio::time::timeout(SECOND, waits).await.unwrap_err();
        runner.run(Trigger::Start).await;
        assert_eq!(runs(&registry), [1.0, 0.0, 0.0]);
    }

    #[tokio::test(start_paused = true)]
    async fn the_start_delay_excludes_the_phase() {
        let mut task = task(|| async { Ok(()) }.boxed());
        task.phase = 4 * SECOND;
        let (runner, registry) = runner(task);
        assert_eq!(late(&registry), [0.0, 0.0]);
        runner.run(Trigger::Start).await;
        assert_eq!(late(&registry), [0.0, 0.0]);
        runner.run(scheduled(SECOND / 4)).await;
        assert_eq!(late(&registry), [1.0, 0.25]);
    }

    #[tokio::test(start_paused = true)]
    async fn the_next_run_is_the_instances_own_phase_included_until_it_starts() {
        const NEXT: &str = r#"mesh_task_next_run_timestamp_seconds{task="test"}"#;
        for phase in [Duration::ZERO, SECOND * 3 / 2, 4 * SECOND] {
            let mut task = task(|| async { Ok(()) }.boxed());
            task.schedule = "0 0 0 1 1 *".parse().unwrap();
            task.phase = phase;
            let schedule = task.schedule.clone();
            let (runner, registry) = runner(task);
            let due = |time: DateTime<Utc>| time.timestamp() as f64 + phase.as_secs_f64();
            let first = schedule.next().unwrap();
            assert_eq!(value(&registry, NEXT), due(first));
            runner.run(Trigger::Start).await;
            assert_eq!(value(&registry, NEXT), due(first));

            let second = schedule.after(first).unwrap();
            let mut run = std::pin::pin!(runner.run(Trigger::Schedule {
                time: first,
                late: Duration::ZERO
            }));
            if !phase.is_zero() {
                assert!(futures_util::poll!(&mut run).is_pending());
                assert_eq!(value(&registry, NEXT), due(first));
            }
            run.await;
            assert_eq!(value(&registry, NEXT), due(second));
            runner.disable();
            assert_eq!(value(&registry, NEXT), 0.0);
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_run_that_is_skipped_is_not_the_next_run() {
        const NEXT: &str = r#"mesh_task_next_run_timestamp_seconds{task="test"}"#;
        let mut task = task(|| std::future::pending().boxed());
        task.schedule = "0 0 0 1 1 *".parse().unwrap();
        task.phase = SECOND;
        let schedule = task.schedule.clone();
        let (runner, registry) = runner(task);
        let first = schedule.next().unwrap();
        let mut busy = std::pin::pin!(runner.run(Trigger::Start));
        assert!(futures_util::poll!(&mut busy).is_pending());
        runner
            .run(Trigger::Schedule {
                time: first,
                late: Duration::ZERO,
            })
            .await;
        assert_eq!(runs(&registry), [0.0, 0.0, 1.0]);
        let second = schedule.after(first).unwrap();
        assert_eq!(value(&registry, NEXT), second.timestamp() as f64 + 1.0);
    }

    #[tokio::test(start_paused = true)]
    async fn a_scheduled_time_starts_one_run() {
        let mut task = task(|| async { Ok(()) }.boxed());
        task.schedule = "0 0 0 1 1 *".parse().unwrap();
        let (runner, _) = runner(task);
        assert!(runner.fire().is_some());
        let again = runner.fire();
        assert!(again.is_none(), "{again:?}");
    }

    #[tokio::test(start_paused = true)]
    async fn the_first_failure_and_the_recovery_are_logged() {
        let turn = Arc::new(AtomicU32::new(0));
        let (runner, _) = runner(task(move || {
            let turn = turn.fetch_add(1, Ordering::Relaxed);
            // Three failures, three successes, three failures.
            async move {
                match turn / 3 {
                    1 => Ok(()),
                    _ => Err("refused".into()),
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
