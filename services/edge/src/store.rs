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

use std::error::Error;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use jiff::Timestamp;
use tokio::sync::mpsc::error::TrySendError;
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinHandle;

pub use self::database::OpenError;
pub use self::known::ServiceStatus;

use self::database::Database;
use self::known::Known;
use self::writer::{Command, Writer};

const QUEUE: usize = 1024;

/// A handle to the store; clones share it.
#[derive(Clone, Debug)]
pub struct Store {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    queue: mpsc::Sender<Command>,
    known: Arc<Known>,
    writer: Mutex<Option<JoinHandle<()>>>,
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
    /// The database file never grows beyond this; writes fail instead.
    pub max_bytes: u64,
    /// How long a write waits while another program locks the database.
    pub busy_timeout: Duration,
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
    #[error("{QUEUE} beats are waiting to be stored; send this one again later")]
    Busy,
    #[error("{max} services are known, which is the most; use one of their names")]
    TooManyServices { max: usize },
    #[error("the heartbeat store cannot write now; send the beat again later")]
    Unwritable(#[source] Arc<dyn Error + Send + Sync>),
    #[error("the heartbeat store is closed; send the beat again later")]
    Closed,
}

// === impl Store ===

impl Store {
    /// Opens `heartbeats.db` in `folder`, both made if missing. A corrupt database is
    /// renamed and a fresh one made in its place.
    pub async fn open(folder: &Path, settings: StoreSettings) -> Result<Self, OpenError> {
        let database = Database::lock(folder, &settings)?;
        let (connection, known) = database.open().await?;
        let known = Arc::new(known);
        let (queue, commands) = mpsc::channel(QUEUE);
        let writer = Writer::new(database, connection, Arc::clone(&known), settings, commands);
        let writer = Mutex::new(Some(tokio::spawn(writer.run())));
        Ok(Self {
            shared: Arc::new(Shared {
                queue,
                known,
                writer,
            }),
        })
    }

    /// Stores a beat, once for each sequence number; returns after its commit.
    pub async fn beat(&self, beat: Beat) -> Result<(), StoreError> {
        let (done, verdict) = oneshot::channel();
        self.shared.queue.try_send(Command::Beat(beat, done))?;
        verdict.await.map_err(|_| StoreError::Closed)?
    }

    /// Deletes what is too old or too much; returns the number of beats deleted.
    pub async fn prune(&self) -> Result<u64, StoreError> {
        let mut total = 0;
        loop {
            let (done, deleted) = oneshot::channel();
            self.send(Command::Prune(done)).await?;
            let deleted = deleted.await.map_err(|_| StoreError::Closed)??;
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
        // An error says that the writer has ended already.
        let _ = self.send(Command::Close).await;
        if let Some(writer) = self.shared.take_writer()
            && let Err(error) = writer.await
        {
            tracing::error!(%error, "the heartbeat store's writer failed");
        }
    }

    /// Waits for room in the queue.
    async fn send(&self, command: Command) -> Result<(), StoreError> {
        let sent = self.shared.queue.send(command).await;
        sent.map_err(|_| StoreError::Closed)
    }
}

// === impl Shared ===

impl Shared {
    fn take_writer(&self) -> Option<JoinHandle<()>> {
        self.writer
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take()
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
            max_bytes: 1 << 30,
            busy_timeout: Duration::from_secs(1),
        }
    }
}

// === impl StoreError ===

impl From<TrySendError<Command>> for StoreError {
    fn from(refused: TrySendError<Command>) -> Self {
        match refused {
            TrySendError::Full(_) => Self::Busy,
            TrySendError::Closed(_) => Self::Closed,
        }
    }
}
