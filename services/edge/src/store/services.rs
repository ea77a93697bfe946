//! The last heartbeat of each service: kept in the file, and in memory for readers.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use jiff::Timestamp;
use sqlx::sqlite::SqliteConnection;

use super::Beat;

/// The status of each service by its name, as of one commit.
pub(super) type Services = BTreeMap<String, ServiceStatus>;

/// The services as of the last commit. Replaced as a whole, by the writer alone.
#[derive(Debug)]
pub(super) struct ServiceTable {
    committed: Mutex<Arc<Services>>,
}

/// A service as of its last heartbeat.
#[derive(Clone, Debug, PartialEq)]
pub struct ServiceStatus {
    pub service: String,
    pub instance: String,
    pub version: String,
    pub started_at: Option<Timestamp>,
    pub interval: Option<Duration>,
    pub last_seen: Timestamp,
    /// Beats stored since the service's first one, repetitions not counted.
    pub beats: i64,
    /// Beats acknowledged since the store was opened, repetitions counted.
    pub received: u64,
}

type Row = (String, String, String, Option<i64>, Option<i64>, i64, i64);

// === impl ServiceTable ===

impl ServiceTable {
    pub(super) fn new(services: Services) -> Self {
        Self {
            committed: Mutex::new(Arc::new(services)),
        }
    }

    pub(super) fn committed(&self) -> Arc<Services> {
        let committed = self.committed.lock();
        Arc::clone(&committed.unwrap_or_else(PoisonError::into_inner))
    }

    /// Call this after the commit that stores `services`.
    pub(super) fn replace(&self, services: Services) {
        let committed = self.committed.lock();
        *committed.unwrap_or_else(PoisonError::into_inner) = Arc::new(services);
    }
}

// === impl ServiceStatus ===

impl ServiceStatus {
    /// A service without a beat.
    pub(super) fn new(service: &str) -> Self {
        Self {
            service: service.to_owned(),
            instance: String::new(),
            version: String::new(),
            started_at: None,
            interval: None,
            last_seen: Timestamp::UNIX_EPOCH,
            beats: 0,
            received: 0,
        }
    }

    /// Takes over a beat. `is_new` is false for a repetition.
    pub(super) fn record(&mut self, beat: &Beat, is_new: bool) {
        self.instance.clone_from(&beat.instance);
        self.version.clone_from(&beat.version);
        self.started_at = beat.started_at;
        self.interval = beat.interval;
        self.last_seen = beat.received_at;
        self.beats += i64::from(is_new);
        self.received += 1;
    }

    fn from_row(row: Row) -> sqlx::Result<Self> {
        let (service, instance, version, started_at, interval, last_seen, beats) = row;
        Ok(Self {
            service,
            instance,
            version,
            started_at: started_at.map(timestamp).transpose()?,
            interval: interval.map(|ns| Duration::from_nanos(ns.unsigned_abs())),
            last_seen: timestamp(last_seen)?,
            beats,
            received: 0,
        })
    }
}

pub(super) async fn load(connection: &mut SqliteConnection) -> sqlx::Result<Services> {
    let rows: Vec<Row> = sqlx::query_as(
        "SELECT service, instance, version, started_at_us, interval_ns, last_seen_us, beats
         FROM services",
    )
    .fetch_all(connection)
    .await?;
    rows.into_iter()
        .map(|row| Ok((row.0.clone(), ServiceStatus::from_row(row)?)))
        .collect()
}

pub(super) async fn save(
    status: &ServiceStatus,
    connection: &mut SqliteConnection,
) -> sqlx::Result<()> {
    sqlx::query(
        "INSERT OR REPLACE INTO services (service, instance, version, started_at_us, interval_ns,
                                          last_seen_us, beats)
         VALUES (?, ?, ?, ?, ?, ?, ?)",
    )
    .bind(&status.service)
    .bind(&status.instance)
    .bind(&status.version)
    .bind(status.started_at.map(Timestamp::as_microsecond))
    .bind(status.interval.map(super::nanoseconds))
    .bind(status.last_seen.as_microsecond())
    .bind(status.beats)
    .execute(connection)
    .await?;
    Ok(())
}

fn timestamp(microsecond: i64) -> sqlx::Result<Timestamp> {
    Timestamp::from_microsecond(microsecond).map_err(|error| sqlx::Error::Decode(error.into()))
}
