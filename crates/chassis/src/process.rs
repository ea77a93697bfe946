//! Metrics of the process: build, identity, resources and runtime.

use std::sync::LazyLock;

use std::net::SocketAddr;

use prometheus::core::{Collector, Desc};
use prometheus::proto::MetricFamily;
use prometheus::{Counter, Gauge, IntGauge, Opts, Registry};
use tokio::runtime::Handle;
use tokio_metrics::{RuntimeIntervals, RuntimeMonitor};

/// The commit of this build, or `unknown`.
pub const REVISION: &str = env!("VITALMESH_REVISION");
/// The version of the workspace.
pub const VERSION: &str = env!("CARGO_PKG_VERSION");

/// The same for all services of a process, other in another process but for one in four billion.
static PROCESS_ID: LazyLock<u32> = LazyLock::new(|| fastrand::u32(..));

/// Registers `mesh_build_info`, `mesh_process_id`, the `process_*` and the `tokio_*` families.
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
    let process_id = IntGauge::new(
        "mesh_process_id",
        "A random number of the process; services with the same number share a process.",
    )?;
    process_id.set(i64::from(*PROCESS_ID));
    registry.register(Box::new(process_id))?;
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

/// The id of an instance that has none by its settings. It survives a restart, and two instances of a
/// host differ by their gRPC ports.
pub(crate) fn instance(grpc: SocketAddr) -> String {
    format!("{}:{}", hostname(), grpc.port())
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_instance_is_named_after_its_host_and_port_and_keeps_its_name() {
        let instance = || instance(([127, 0, 0, 1], 50_051).into());
        assert_eq!(instance(), format!("{}:50051", hostname()));
        assert_eq!(instance(), instance());
        assert!(!hostname().is_empty());
    }

    #[tokio::test]
    async fn services_in_one_process_have_the_same_process_id() {
        let ids = [(); 2].map(|()| {
            let registry = Registry::new();
            register(&registry, &Handle::current()).unwrap();
            let families = registry.gather();
            let family = families.iter().find(|one| one.name() == "mesh_process_id");
            family.unwrap().get_metric()[0].get_gauge().get_value()
        });
        assert!(ids[0].fract() == 0.0 && ids[0] >= 0.0, "{ids:?}");
        assert_eq!(ids[0].to_bits(), ids[1].to_bits());
    }
}
