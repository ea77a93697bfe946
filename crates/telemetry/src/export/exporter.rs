//! Sends one signal to a collector in batches.

use std::mem;
use std::time::Duration;

use http::Uri;
use http::uri::PathAndQuery;
use prometheus::{IntCounter, Opts, Registry};
use tokio::sync::mpsc;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use tonic::client::Grpc;
use tonic::{Request, Status};
use tonic_prost::ProstCodec;

use super::Signal;
use super::otlp::{ExportRequest, ExportResponse, Resource};
use vitalmesh_transport::Transport;

/// Items in one request: about 300 kB, far below the 4 MiB that collectors take.
const BATCH: usize = 512;
/// The longest time that an incomplete batch waits.
const DELAY: Duration = Duration::from_secs(1);
/// The timeout of a request. Items queue meanwhile.
const TIMEOUT: Duration = Duration::from_secs(5);

/// Counters of accepted and dropped items.
#[derive(Clone, Debug)]
pub(super) struct Counts {
    exported: IntCounter,
    pub(super) queue_full: IntCounter,
    refused: IntCounter,
}

/// Sends queued items until it is stopped.
#[derive(Debug)]
pub(super) struct Exporter<S> {
    collector: Uri,
    client: Grpc<Transport>,
    queue: mpsc::Receiver<S>,
    batch: Vec<S>,
    resource: Resource,
    counts: Counts,
    failing: bool,
}

// === impl Counts ===

impl Counts {
    pub(super) fn register<S: Signal>(registry: &Registry) -> prometheus::Result<Self> {
        let counter = |opts: Opts| -> prometheus::Result<IntCounter> {
            let counter = IntCounter::with_opts(opts)?;
            registry.register(Box::new(counter.clone()))?;
            Ok(counter)
        };
        let opts = |(name, help)| Opts::new(name, help);
        let dropped = |reason| counter(opts(S::DROPPED).const_label("reason", reason));
        Ok(Self {
            exported: counter(opts(S::EXPORTED))?,
            queue_full: dropped("queue_full")?,
            refused: dropped("export_failed")?,
        })
    }
}

// === impl Exporter ===

impl<S: Signal> Exporter<S> {
    pub(super) fn new(
        collector: Uri,
        queue: mpsc::Receiver<S>,
        resource: Resource,
        counts: Counts,
    ) -> Self {
        Self {
            // The bare transport: exports are neither metered nor traced.
            client: Grpc::new(Transport::new(collector.clone())),
            collector,
            queue,
            batch: Vec::new(),
            resource,
            counts,
            failing: false,
        }
    }

    /// Exports until `stop`, then flushes the queue.
    pub(super) async fn run(mut self, stop: CancellationToken) {
        loop {
            tokio::select! {
                () = self.fill() => {}
                () = stop.cancelled() => break,
            }
            if self.batch.is_empty() {
                return;
            }
            self.export().await;
        }
        self.queue.close();
        while self.queue.recv_many(&mut self.batch, BATCH).await > 0 {
            self.export().await;
        }
        self.export().await;
    }

    /// Waits for an item, then for a full batch or [`DELAY`]. The batch stays empty once all senders
    /// are gone. Cancel safe: a dropped future keeps the batch.
    async fn fill(&mut self) {
        let (queue, batch) = (&mut self.queue, &mut self.batch);
        if queue.recv_many(batch, BATCH).await == 0 {
            return;
        }
        let full = async {
            while batch.len() < BATCH && queue.recv_many(batch, BATCH - batch.len()).await > 0 {}
        };
        let _ = timeout(DELAY, full).await;
    }

    async fn export(&mut self) {
        let batch = mem::take(&mut self.batch);
        let count = batch.len() as u64;
        if count == 0 {
            return;
        }
        let sent = timeout(TIMEOUT, self.send(batch)).await;
        let sent =
            sent.unwrap_or_else(|_| Err(Status::deadline_exceeded("no response within 5 s")));
        let (lost, problem) = match sent {
            Ok(answer) => answer.lost(count),
            Err(status) => (
                count,
                Some(format!("{:?}: {}", status.code(), status.message())),
            ),
        };
        self.counts.refused.inc_by(lost);
        self.counts.exported.inc_by(count - lost);
        self.log_change(problem.as_deref());
    }

    async fn send(&mut self, batch: Vec<S>) -> Result<ExportResponse, Status> {
        let items = batch.into_iter().map(Into::into).collect();
        let request = ExportRequest::<S::Message>::new(&self.resource, items);
        let codec = ProstCodec::<_, ExportResponse>::default();
        let path = PathAndQuery::from_static(S::METHOD);
        let answer = self
            .client
            .unary(Request::new(request), path, codec)
            .await?;
        Ok(answer.into_inner())
    }

    /// Logs the first failure and the recovery, not each failure.
    fn log_change(&mut self, problem: Option<&str>) {
        let collector = &self.collector;
        match (problem, self.failing) {
            (Some(reason), false) => {
                tracing::warn!(%collector, reason, "cannot export {}, they are dropped", S::NAME);
            }
            (None, true) => tracing::info!(%collector, "exporting {} again", S::NAME),
            _ => {}
        }
        self.failing = problem.is_some();
    }
}

// === impl ExportResponse ===

impl ExportResponse {
    /// How many of `count` items the collector rejected, and why.
    fn lost(self, count: u64) -> (u64, Option<String>) {
        let Some(partial) = self.partial_success else {
            return (0, None);
        };
        // A message without a count is a warning about accepted items.
        match u64::try_from(partial.rejected).unwrap_or(0) {
            0 => (0, None),
            rejected => (rejected.min(count), Some(partial.error_message)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::otlp::PartialSuccess;
    use super::*;

    #[test]
    fn rejected_items_are_counted_and_never_more_than_were_sent() {
        let lost = |rejected| {
            let partial = PartialSuccess {
                rejected,
                error_message: "too old".to_owned(),
            };
            let answer = ExportResponse {
                partial_success: Some(partial),
            };
            answer.lost(5)
        };
        let why = Some("too old".to_owned());
        assert_eq!(ExportResponse::default().lost(5), (0, None));
        // A warning, or nonsense.
        assert_eq!(lost(0), (0, None));
        assert_eq!(lost(-1), (0, None));
        assert_eq!(lost(3), (3, why.clone()));
        assert_eq!(lost(9), (5, why));
    }
}
