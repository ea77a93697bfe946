//! Export of spans and log lines to an OTLP collector.
//!
//! Each signal has a bounded queue and a task that sends it in batches. Producers never wait: items
//! that do not fit the queue, or that the collector rejects, are dropped and counted.

mod exporter;
mod otlp;
mod value;

use std::fmt::Debug;
use std::future::Future;

use http::Uri;
use prometheus::{IntCounter, Registry};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use self::exporter::{Counts, Exporter};
pub use self::otlp::Resource;
pub(crate) use self::otlp::{AnyValue, KeyValue, nanos};
pub use self::value::Value;
pub(crate) use self::value::truncate;

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
    /// The collector's method for them.
    const METHOD: &'static str;
    /// The OTLP message of one item.
    type Message: prost::Message + Debug + Default + From<Self> + 'static;
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
