//! The metrics of a task.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use chrono::{DateTime, TimeDelta, Utc};
use prometheus::{Gauge, Histogram, HistogramOpts, IntCounter, Opts, Registry};
use tokio::time::Instant;

use crate::task::Task;

/// Bucket bounds of the duration, in seconds: from a local call to a nightly clean-up.
const BUCKETS: [f64; 10] = [0.001, 0.005, 0.025, 0.1, 0.5, 1.0, 5.0, 15.0, 60.0, 300.0];

/// Bucket bounds of the start delay, in seconds. The scheduler checks every 0.5 s.
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
    /// Failed, panicked or timed out.
    Error,
    /// Not started because the previous run was still in progress.
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
                "Duration of a run, in seconds.",
                &BUCKETS,
            )?,
            start_delay: histogram(
                "mesh_task_start_delay_seconds",
                "Time from a run's due time, its phase included, to its start, in seconds.",
                &DELAY_BUCKETS,
            )?,
            enabled: gauge(
                "mesh_task_enabled",
                "1 while the task is scheduled, 0 if it is off or stopped.",
            )?,
            last_success: gauge(
                "mesh_task_last_success_timestamp_seconds",
                "Unix time of the last successful run, 0 before the first.",
            )?,
            next_run: gauge(
                "mesh_task_next_run_timestamp_seconds",
                "Unix time of this instance's next run, its phase included, 0 if the task is off or stopped.",
            )?,
            interval: gauge(
                "mesh_task_interval_seconds",
                "Longest time between two scheduled runs, in seconds, 0 if the task is off.",
            )?,
        };
        metrics.enabled.set(f64::from(!task.schedule.is_off()));
        metrics
            .interval
            .set(task.schedule.longest_gap().as_secs_f64());
        // A run that was scheduled before now and would start after its phase is not made.
        metrics.set_next_run(task.schedule.next(), task.phase);
        Ok(metrics)
    }

    /// The task has stopped: it has no next run.
    pub(crate) fn disable(&self) {
        self.enabled.set(0.0);
        self.next_run.set(0.0);
    }

    /// Records when the next run is scheduled. It starts after the instance's phase.
    pub(crate) fn set_next_run(&self, scheduled: Option<DateTime<Utc>>, phase: Duration) {
        let phase = TimeDelta::from_std(phase).unwrap_or_default();
        let due = scheduled.and_then(|scheduled| scheduled.checked_add_signed(phase));
        let due = due.map_or(0, |due| due.timestamp_micros());
        self.next_run.set(due as f64 / 1e6);
    }

    /// Records the time from a run's due time to its start.
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
}

// === impl Timer ===

impl Drop for Timer<'_> {
    fn drop(&mut self) {
        self.duration.observe(self.started.elapsed().as_secs_f64());
    }
}
