//! Export of spans and log lines to an OTLP collector.
//!
//! Each signal has a bounded queue and a task that sends it in batches. Producers never wait: items
//! that do not fit the queue, or that the collector rejects, are dropped and counted.

mod exporter;
mod resource;
mod value;

use std::future::Future;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use http::Uri;
use prometheus::{IntCounter, Registry};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;
use tonic::Status;
use vitalmesh_transport::Transport;

use self::exporter::{Counts, Exporter};
pub use self::resource::Resource;
pub use self::value::Value;
pub(crate) use self::value::{attribute, truncate};
use crate::otlp::common::v1::InstrumentationScope;

/// The capacity of a queue, in items.
pub(crate) const QUEUE: usize = 2048;

/// A kind of exported item.
pub(crate) trait Signal: Sized + Send + 'static {
    /// The plural, for log lines.
    const NAME: &'static str;
    /// The counter of accepted items, and its help.
    const EXPORTED: (&'static str, &'static str);
    /// The counter of dropped items, and its help.
    const DROPPED: (&'static str, &'static str);

    /// Sends one request to the collector. `None` if the response reports no partial success.
    fn export(
        collector: Transport,
        resource: &Resource,
        items: Vec<Self>,
    ) -> impl Future<Output = Result<Option<PartialSuccess>, Status>> + Send;
}

/// A response that accepts a part of the items, or accepts all with a warning.
#[derive(Debug)]
pub(crate) struct PartialSuccess {
    pub(crate) rejected: i64,
    pub(crate) message: String,
}

/// The sending side of an export queue.
#[derive(Clone, Debug)]
pub(crate) struct ExportQueue<S> {
    queue: mpsc::Sender<S>,
    full: IntCounter,
}

/// Starts to export one signal to `collector`, if there is one, and registers its counters.
///
/// The returned future flushes the queue. Needs a runtime.
pub(crate) fn start<S: Signal>(
    collector: Option<&Uri>,
    resource: &Resource,
    registry: &Registry,
) -> prometheus::Result<(
    Option<ExportQueue<S>>,
    impl Future<Output = ()> + Send + use<S>,
)> {
    let counts = Counts::register::<S>(registry)?;
    let stop = CancellationToken::new();
    let (queue, exporting) = match collector.cloned() {
        None => (None, None),
        Some(collector) => {
            let (queue, waiting) = ExportQueue::new(&counts);
            let exporter = Exporter::new(collector, waiting, resource.clone(), counts);
            let running = tokio::spawn(exporter.run(stop.clone()));
            (Some(queue), Some(running))
        }
    };
    let flush = async move {
        stop.cancel();
        if let Some(running) = exporting {
            // Fails only after a panic, which is logged.
            let _ = running.await;
        }
    };
    Ok((queue, flush))
}

/// The scope of every span and log line: this crate.
pub(crate) fn scope() -> InstrumentationScope {
    InstrumentationScope {
        name: env!("CARGO_PKG_NAME").to_owned(),
        version: env!("CARGO_PKG_VERSION").to_owned(),
        ..InstrumentationScope::default()
    }
}

/// Nanoseconds since 1970; 0 for a time before 1970 or after 2554.
pub(crate) fn nanos(at: SystemTime) -> u64 {
    let since = at.duration_since(UNIX_EPOCH).unwrap_or(Duration::ZERO);
    u64::try_from(since.as_nanos()).unwrap_or(0)
}

// === impl ExportQueue ===

impl<S: Signal> ExportQueue<S> {
    fn new(counts: &Counts) -> (Self, mpsc::Receiver<S>) {
        let (queue, waiting) = mpsc::channel(QUEUE);
        let full = counts.queue_full.clone();
        (Self { queue, full }, waiting)
    }

    /// Queues an item, or drops and counts it if the queue is full.
    pub(crate) fn push(&self, item: S) {
        if self.queue.try_send(item).is_err() {
            self.full.inc();
        }
    }

    /// A queue without an exporter, its receiving side, and the counter of drops.
    #[cfg(test)]
    pub(crate) fn unexported() -> (Self, mpsc::Receiver<S>, IntCounter) {
        let counts = Counts::register::<S>(&Registry::new()).unwrap();
        let (queue, waiting) = Self::new(&counts);
        (queue, waiting, counts.queue_full)
    }
}
