//! The store of heartbeats: one SQLite file with one writer, and in memory what it knows of each service.
//!
//! A beat is acknowledged after the commit of its transaction, which it shares with
//! all beats that were waiting. SIGKILL loses no acknowledged beat; a power cut can
//! lose the last ones, since `synchronous=NORMAL` does not wait for the disk.

mod batch;
mod database;
mod known;
mod retention;
mod writer;

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use vitalmesh_store::{Limits, MOST_WAITING, NoAnswer, Queue, Session, Unwritable};

pub use self::database::OpenError;
pub use self::known::ServiceStatus;

use self::database::Database;
use self::known::Known;
use self::writer::{Command, Writer};

/// A handle to the store; clones share it.
#[derive(Clone, Debug)]
pub struct Store {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    queue: Queue<Command>,
    known: Arc<Known>,
}

#[derive(Clone, Debug)]
pub struct StoreSettings {
    /// How many different services may be known at once.
    pub max_services: usize,
    /// Services that always find room among them, whoever came first.
    pub reserved: Vec<String>,
    /// Beats and services older than this are pruned.
    pub max_age: Duration,
    /// The newest beats that pruning leaves.
    pub max_rows: u32,
    pub limits: Limits,
}

/// One heartbeat, as received.
#[derive(Clone, Debug, PartialEq)]
pub struct Beat {
    pub service: String,
    /// Empty when the sender did not tell, as is `version`.
    pub instance: String,
    pub version: String,
    pub started_at: Option<Timestamp>,
    pub interval: Option<Duration>,
    /// 0 when the sender does not count.
    pub sequence: i64,
    /// An encoded `vitalmesh.heartbeat.v1.VitalSigns`.
    pub vital_signs: Option<Vec<u8>>,
    pub received_at: Timestamp,
}

#[derive(Clone, Debug, thiserror::Error)]
pub enum StoreError {
    #[error("{MOST_WAITING} beats are waiting to be stored; send this one again later")]
    Busy,
    #[error("{max} services are known, which is the most; use one of their names")]
    TooManyServices { max: usize },
    #[error("the heartbeat store cannot write now; send the beat again later")]
    Unwritable(#[source] Unwritable),
    #[error("the heartbeat store is closed; send the beat again later")]
    Closed,
    #[error("the heartbeat store failed over this beat; send it again")]
    Panicked,
}

// === impl Store ===

impl Store {
    /// Opens `heartbeats.db` in `folder`, both made if missing. A corrupt database is
    /// renamed and a fresh one made in its place.
    pub async fn open(folder: &Path, settings: StoreSettings) -> Result<Self, OpenError> {
        let database = Database::claim(folder, settings.limits)?;
        let (connection, known) = database.open().await?;
        let known = Arc::new(known);
        let writer = Writer::new(database, Arc::clone(&known), settings);
        let queue = Queue::start(writer, Session::new("heartbeats", connection));
        let shared = Arc::new(Shared { queue, known });
        Ok(Self { shared })
    }

    /// Stores a beat, once for each sequence number; returns after its commit.
    pub async fn beat(&self, beat: Beat) -> Result<(), StoreError> {
        let queue = &self.shared.queue;
        queue.try_ask(|waiter| Command::Beat(beat, waiter)).await?
    }

    /// Deletes what is too old or too much; returns the number of beats deleted.
    pub async fn prune(&self) -> Result<u64, StoreError> {
        let mut total = 0;
        loop {
            let deleted = self.shared.queue.ask(Command::Prune).await??;
            total += deleted;
            if deleted < retention::STEP {
                return Ok(total);
            }
        }
    }

    /// What is known of each service, sorted by name, from memory.
    pub fn services(&self) -> Vec<ServiceStatus> {
        self.shared.known.services()
    }

    /// Stores what is waiting, refuses what comes later, and closes the file.
    pub async fn close(&self) {
        self.shared.queue.close().await;
    }
}

// === impl StoreSettings ===

impl Default for StoreSettings {
    fn default() -> Self {
        Self {
            max_services: 64,
            reserved: Vec::new(),
            max_age: Duration::from_secs(7 * 24 * 3600),
            max_rows: 1_000_000,
            limits: Limits::default(),
        }
    }
}

// === impl StoreError ===

impl From<NoAnswer> for StoreError {
    fn from(none: NoAnswer) -> Self {
        match none {
            NoAnswer::Full => Self::Busy,
            NoAnswer::Closed => Self::Closed,
            NoAnswer::Panicked => Self::Panicked,
        }
    }
}
