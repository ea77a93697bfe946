//! The metrics of a task.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use prometheus::{Gauge, Histogram, HistogramOpts, IntCounter, Opts, Registry};

use tokio::time::Instant;

use crate::schedule::Schedule;
use crate::task::Task;

/// Seconds: from a local call to a nightly clean-up.
const BUCKETS: [f64; 10] = [0.001, 0.005, 0.025, 0.1, 0.5, 1.0, 5.0, 15.0, 60.0, 300.0];

/// Seconds. The scheduler checks twice a second; longer delays are a problem.
const DELAY_BUCKETS: [f64; 9] = [0.01, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0, 60.0];

/// The series of one task.
#[derive(Debug)]
pub(crate) struct TaskMetrics {
    runs: [IntCounter; 3],
    duration: Histogram,
    start_delay: Histogram,
    enabled: Gauge,
    last_success: Gauge,
    next_run: Gauge,
    interval: Gauge,
}

/// How a run ended.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Outcome {
    Success,
    /// Failed, panicked or took too long.
    Error,
    /// Not started, because the previous run had not ended.
    Skipped,
}

/// Records the duration of a run when it is dropped.
#[derive(Debug)]
pub(crate) struct Timer<'a> {
    duration: &'a Histogram,
    started: Instant,
}

// === impl TaskMetrics ===

impl TaskMetrics {
    pub(crate) fn register(registry: &Registry, task: &Task) -> prometheus::Result<Self> {
        let name = task.name;
        let opts = |family, help| Opts::new(family, help).const_label("task", name);
        let gauge = |family, help| -> prometheus::Result<Gauge> {
            let gauge = Gauge::with_opts(opts(family, help))?;
            registry.register(Box::new(gauge.clone()))?;
            Ok(gauge)
        };
        let counter = |outcome| -> prometheus::Result<IntCounter> {
            let opts = opts("mesh_task_runs_total", "Runs of a task by outcome.");
            let counter = IntCounter::with_opts(opts.const_label("outcome", outcome))?;
            registry.register(Box::new(counter.clone()))?;
            Ok(counter)
        };
        let histogram = |family, help, buckets: &[f64]| -> prometheus::Result<Histogram> {
            let opts = HistogramOpts::from(opts(family, help)).buckets(buckets.to_vec());
            let histogram = Histogram::with_opts(opts)?;
            registry.register(Box::new(histogram.clone()))?;
            Ok(histogram)
        };
        let metrics = Self {
            runs: [counter("success")?, counter("error")?, counter("skipped")?],
            duration: histogram(
                "mesh_task_duration_seconds",
                "How long the runs of a task took, in seconds.",
                &BUCKETS,
            )?,
            start_delay: histogram(
                "mesh_task_start_delay_seconds",
                "How late the scheduled runs of a task began, in seconds.",
                &DELAY_BUCKETS,
            )?,
            enabled: gauge(
                "mesh_task_enabled",
                "1 while runs of the task begin, 0 where it is off or was stopped.",
            )?,
            last_success: gauge(
                "mesh_task_last_success_timestamp_seconds",
                "When a run last succeeded, in seconds since 1970; 0 before the first.",
            )?,
            next_run: gauge(
                "mesh_task_next_run_timestamp_seconds",
                "When the next run is scheduled, in seconds since 1970.",
            )?,
            interval: gauge(
                "mesh_task_interval_seconds",
                "From one scheduled run to the next, in seconds.",
            )?,
        };
        metrics.set_schedule(&task.schedule);
        metrics.set_enabled(!task.schedule.is_off());
        Ok(metrics)
    }

    pub(crate) fn set_enabled(&self, enabled: bool) {
        self.enabled.set(f64::from(enabled));
    }

    /// Records how long after its due time a run started.
    pub(crate) fn start_delay(&self, delay: Duration) {
        self.start_delay.observe(delay.as_secs_f64());
    }

    pub(crate) fn start_timer(&self) -> Timer<'_> {
        Timer {
            duration: &self.duration,
            started: Instant::now(),
        }
    }

    pub(crate) fn count(&self, outcome: Outcome) {
        self.runs[outcome as usize].inc();
        if matches!(outcome, Outcome::Success) {
            let now = SystemTime::now().duration_since(UNIX_EPOCH);
            self.last_success.set(now.unwrap_or_default().as_secs_f64());
        }
    }

    pub(crate) fn set_schedule(&self, schedule: &Schedule) {
        let next = schedule.next().map(|next| next.timestamp());
        self.next_run.set(next.unwrap_or_default() as f64);
        self.interval.set(schedule.interval().as_secs_f64());
    }
}

// === impl Timer ===

impl Drop for Timer<'_> {
    fn drop(&mut self) {
        self.duration.observe(self.started.elapsed().as_secs_f64());
    }
}
