//! Metrics of the process: build, resources and runtime.

use prometheus::core::{Collector, Desc};
use prometheus::proto::MetricFamily;
use prometheus::{Counter, Gauge, IntGauge, Opts, Registry};
use tokio::runtime::Handle;
use tokio_metrics::{RuntimeIntervals, RuntimeMonitor};

/// The commit of this build, or `unknown`.
pub const REVISION: &str = env!("VITALMESH_REVISION");
/// The version of the workspace.
pub const VERSION: &str = env!("CARGO_PKG_VERSION");

/// Registers `mesh_build_info`, the `process_*` and the `tokio_*` families.
pub(crate) fn register(registry: &Registry, runtime: &Handle) -> prometheus::Result<()> {
    let build_info = IntGauge::with_opts(
        Opts::new(
            "mesh_build_info",
            "Always 1; the labels are the version and the commit of the build.",
        )
        .const_label("version", VERSION)
        .const_label("revision", REVISION),
    )?;
    build_info.set(1);
    registry.register(Box::new(build_info))?;
    registry.register(Box::new(
        prometheus::process_collector::ProcessCollector::for_self(),
    ))?;
    registry.register(Box::new(RuntimeCollector::new(runtime)?))
}

/// Tokio's runtime metrics, read at each scrape.
struct RuntimeCollector {
    monitor: std::sync::Mutex<RuntimeIntervals>,
    workers: IntGauge,
    alive_tasks: IntGauge,
    global_queue: IntGauge,
    busy_seconds: Counter,
    parks: Counter,
    busy_ratio: Gauge,
}

impl RuntimeCollector {
    fn new(runtime: &Handle) -> prometheus::Result<Self> {
        let gauge = |name: &str, help: &str| IntGauge::new(name, help);
        Ok(Self {
            monitor: std::sync::Mutex::new(RuntimeMonitor::new(runtime).intervals()),
            workers: gauge("tokio_workers", "Worker threads of the runtime.")?,
            alive_tasks: gauge("tokio_alive_tasks", "Tasks that have not ended.")?,
            global_queue: gauge("tokio_global_queue_depth", "Tasks in the shared queue.")?,
            busy_seconds: Counter::new(
                "tokio_workers_busy_seconds_total",
                "Time that the workers spent on tasks, summed over the workers.",
            )?,
            parks: Counter::new(
                "tokio_worker_parks_total",
                "How often a worker had nothing to do and slept.",
            )?,
            busy_ratio: Gauge::new(
                "tokio_workers_busy_ratio",
                "Share of the workers' time spent on tasks since the last scrape.",
            )?,
        })
    }

    fn parts(&self) -> [&dyn Collector; 6] {
        [
            &self.workers,
            &self.alive_tasks,
            &self.global_queue,
            &self.busy_seconds,
            &self.parks,
            &self.busy_ratio,
        ]
    }

    fn read(&self) {
        let mut intervals = match self.monitor.lock() {
            Ok(intervals) => intervals,
            Err(poisoned) => poisoned.into_inner(),
        };
        let Some(now) = intervals.next() else { return };
        self.workers.set(as_i64(now.workers_count));
        self.alive_tasks.set(as_i64(now.live_tasks_count));
        self.global_queue.set(as_i64(now.global_queue_depth));
        self.busy_seconds
            .inc_by(now.total_busy_duration.as_secs_f64());
        self.parks.inc_by(now.total_park_count as f64);
        self.busy_ratio.set(now.busy_ratio());
    }
}

impl Collector for RuntimeCollector {
    fn desc(&self) -> Vec<&Desc> {
        self.parts().iter().flat_map(|part| part.desc()).collect()
    }

    fn collect(&self) -> Vec<MetricFamily> {
        self.read();
        self.parts()
            .iter()
            .flat_map(|part| part.collect())
            .collect()
    }
}

fn as_i64(count: usize) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}

/// A name for one start of a service: the host and a random number. Each start has its own, because
/// the sequence of heartbeats restarts with it.
pub(crate) fn instance() -> String {
    format!("{}-{:08x}", hostname(), fastrand::u32(..))
}

fn hostname() -> String {
    let name = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    let plain = |c: &char| c.is_ascii_alphanumeric() || *c == '-' || *c == '.';
    let name: String = name.trim().chars().filter(plain).take(64).collect();
    match name.is_empty() {
        true => "localhost".to_owned(),
        false => name,
    }
}
