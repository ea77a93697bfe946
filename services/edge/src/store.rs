//! The store of heartbeats: one SQLite file with one writer, and the services' last beats in memory.
//!
//! # The way of a heartbeat
//!
//! `Store::beat` submits the beat to the queue of `vitalmesh-store`, which holds 1024 and rejects
//! more. The writer's task takes all that wait, at most 256, and passes them to `BeatWriter` with
//! its connection. That begins a transaction (`Batch`), inserts each beat once per instance and
//! sequence number, saves the instances that changed, commits, and only then replaces the table of
//! services in memory. The task responds to each caller. Where the transaction fails or panics, it
//! is rolled back, its callers get the error, and the next one opens another connection; a file
//! that a write found corrupt is set aside first. Retention takes the same way in transactions of
//! its own, a bounded step at a time, so that beats are stored between two steps. SIGKILL loses no
//! acknowledged beat; a power loss can lose the last ones, since `synchronous=NORMAL` does not sync
//! each commit to the disk.

mod batch;
mod database;
mod instances;
mod retention;
mod schema;
mod services;
mod writer;

use std::error::Error;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use vitalmesh_store::{Limits, QUEUE_CAPACITY, Queue, SubmitError};

pub use self::database::OpenError;
pub use self::instances::InstanceStatus;
pub use self::services::ServiceStatus;

use self::database::Database;
use self::services::ServiceTable;
use self::writer::{BeatWriter, Command};

/// A handle to the store; clones share it.
#[derive(Clone, Debug)]
pub struct Store {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    queue: Queue<BeatWriter>,
    services: Arc<ServiceTable>,
    forget_after: Duration,
}

#[derive(Clone, Debug)]
pub struct StoreSettings {
    /// Services that the store holds at once; beats of others are rejected. Default 64.
    pub max_services: usize,
    /// Services that always have a place among them, whichever came first. Default none.
    pub reserved: Vec<String>,
    /// Instances of a service that the store holds at once. A new one takes the place of the one that
    /// has been late for longest; where none is late, its beats are rejected. Default 64.
    pub max_instances: usize,
    /// How long an instance may be late before it is forgotten. A service's newest instance is kept.
    /// Default one hour.
    pub forget_after: Duration,
    /// Beats, and services without newer ones, are pruned when they are older than this. Default 7 days.
    pub max_age: Duration,
    /// Pruning deletes the oldest beats beyond this number. Default 1,000,000.
    pub max_rows: u32,
    pub limits: Limits,
}

/// One heartbeat, as received.
#[derive(Clone, Debug, PartialEq)]
pub struct Beat {
    pub service: String,
    /// Empty where the sender gave none, as is `version`.
    pub instance: String,
    pub version: String,
    pub started_at: Option<Timestamp>,
    pub interval: Option<Duration>,
    /// 0 where the sender does not count its beats: they are all stored.
    pub sequence: i64,
    /// An encoded `vitalmesh.heartbeat.v1.VitalSigns`.
    pub vital_signs: Option<Vec<u8>>,
    pub received_at: Timestamp,
}

#[derive(Clone, Debug, thiserror::Error)]
pub enum StoreError {
    #[error("{QUEUE_CAPACITY} beats are waiting to be stored; send this one again later")]
    Busy,
    #[error("the limit of {max} services is reached; use the name of a known one")]
    TooManyServices { max: usize },
    #[error("the limit of {max} instances of a service is reached, and none of them is late")]
    TooManyInstances { max: usize },
    #[error("the heartbeat store cannot write now; send the beat again later")]
    Unwritable(#[source] Arc<dyn Error + Send + Sync>),
    #[error("the heartbeat store is closed; send the beat again later")]
    Closed,
    #[error("the heartbeat store panicked while it stored this beat; send it again")]
    Panicked,
}

// === impl Store ===

impl Store {
    /// Opens `heartbeats.db` in `folder`, and creates both where they are missing. A corrupt
    /// database is renamed, and a new one takes its place.
    pub async fn open(folder: &Path, settings: StoreSettings) -> Result<Self, OpenError> {
        let database = Database::claim(folder, &settings)?;
        let forget_after = settings.forget_after;
        let (connection, services) = database.open().await?;
        let services = Arc::new(ServiceTable::new(services));
        let writer = BeatWriter::new(database, Arc::clone(&services), settings);
        let queue = Queue::start("heartbeats", writer, connection);
        let shared = Arc::new(Shared {
            queue,
            services,
            forget_after,
        });
        Ok(Self { shared })
    }

    /// Stores a beat and returns after its commit. A repetition is acknowledged and not stored.
    pub async fn beat(&self, beat: Beat) -> Result<(), StoreError> {
        self.shared.queue.submit(Command::Store(beat)).await??;
        Ok(())
    }

    /// Deletes what is past its retention, and returns how many beats that were.
    pub async fn prune(&self) -> Result<u64, StoreError> {
        let mut total = 0;
        loop {
            let deleted = self.shared.queue.submit_alone(Command::Prune).await??;
            total += deleted;
            if deleted < retention::STEP {
                return Ok(total);
            }
        }
    }

    /// The services with their instances, sorted by name. Reads memory, not the file.
    pub fn services(&self) -> Vec<Arc<ServiceStatus>> {
        let services = self.shared.services.committed();
        services.values().cloned().collect()
    }

    /// How long an instance may be late before it is forgotten.
    pub fn forget_after(&self) -> Duration {
        self.shared.forget_after
    }

    /// Stores the beats that wait, rejects later ones, and closes the file.
    pub async fn close(&self) {
        self.shared.queue.close().await;
    }
}

// === impl StoreSettings ===

impl Default for StoreSettings {
    fn default() -> Self {
        Self {
            max_services: 64,
            max_instances: 64,
            forget_after: Duration::from_secs(3600),
            reserved: Vec::new(),
            max_age: Duration::from_secs(7 * 24 * 3600),
            max_rows: 1_000_000,
            limits: Limits::default(),
        }
    }
}

// === impl StoreError ===

impl From<SubmitError> for StoreError {
    fn from(error: SubmitError) -> Self {
        match error {
            SubmitError::Full => Self::Busy,
            SubmitError::Closed => Self::Closed,
            SubmitError::Failed(cause) => Self::Unwritable(cause),
            SubmitError::Panicked => Self::Panicked,
        }
    }
}

fn nanoseconds(interval: Duration) -> i64 {
    i64::try_from(interval.as_nanos()).unwrap_or(i64::MAX)
}
