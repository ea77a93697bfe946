//! What leaves a service for an OTLP collector: its spans and its log lines.
//!
//! Each kind has a bounded queue and a task that empties it in batches. Nothing waits for either:
//! what does not fit, and what the collector does not take, is dropped and counted.

mod exporter;
pub(crate) mod otlp;
mod value;

use std::fmt::Debug;
use std::future::Future;

use http::Uri;
use prometheus::{IntCounter, Registry};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use self::exporter::{Counts, Exporter};
use self::otlp::Resource;
pub(crate) use self::value::{Value, cut};

/// Items that wait for the exporter; what does not fit is dropped and counted.
pub(crate) const QUEUE: usize = 2048;

/// A kind of what is exported.
pub(crate) trait Signal: Sized + Send + 'static {
    /// What several are called in the log.
    const NAME: &'static str;
    /// The counter of those that the collector took, and its help.
    const EXPORTED: (&'static str, &'static str);
    /// The counter of the others, and its help.
    const DROPPED: (&'static str, &'static str);
    /// The one method that takes them.
    const METHOD: &'static str;
    /// What one is in OTLP.
    type Message: prost::Message + Debug + Default + From<Self> + 'static;
}

/// Takes what is to be exported.
#[derive(Clone, Debug)]
pub(crate) struct Outbox<S> {
    queue: mpsc::Sender<S>,
    full: IntCounter,
}

/// Exports one signal to `collector`, if there is one. Its counts are in `registry` also where
/// there is none. The future sends the last ones. Needs a runtime.
pub(crate) fn start<S: Signal>(
    collector: Option<&Uri>,
    resource: &Resource,
    registry: &Registry,
) -> prometheus::Result<(Option<Outbox<S>>, impl Future<Output = ()> + Send + use<S>)> {
    let counts = Counts::register::<S>(registry)?;
    let stop = CancellationToken::new();
    let (outbox, exporting) = match collector.cloned() {
        None => (None, None),
        Some(collector) => {
            let (outbox, queue) = Outbox::new(&counts);
            let exporter = Exporter::new(collector, queue, resource.clone(), counts);
            let running = tokio::spawn(exporter.run(stop.clone()));
            (Some(outbox), Some(running))
        }
    };
    let flush = async move {
        stop.cancel();
        if let Some(running) = exporting {
            // It fails only by a panic, which is logged.
            let _ = running.await;
        }
    };
    Ok((outbox, flush))
}

// === impl Outbox ===

impl<S: Signal> Outbox<S> {
    fn new(counts: &Counts) -> (Self, mpsc::Receiver<S>) {
        let (queue, waiting) = mpsc::channel(QUEUE);
        let full = counts.queue_full.clone();
        (Self { queue, full }, waiting)
    }

    /// Never waits: what does not fit is dropped and counted.
    pub(crate) fn put(&self, item: S) {
        if self.queue.try_send(item).is_err() {
            self.full.inc();
        }
    }

    /// An outbox that nobody empties, what is in it, and how often it was full.
    #[cfg(test)]
    pub(crate) fn held() -> (Self, mpsc::Receiver<S>, IntCounter) {
        let counts = Counts::register::<S>(&Registry::new()).unwrap();
        let (outbox, waiting) = Self::new(&counts);
        (outbox, waiting, counts.queue_full)
    }
}
