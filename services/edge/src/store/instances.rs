//! The last heartbeat of each instance, in the file.

use std::time::Duration;

use jiff::Timestamp;
use sqlx::sqlite::SqliteConnection;

use super::Beat;
use crate::deadline::{DEFAULT_INTERVAL, is_silent_for, until_late};

/// An instance of a service as of its last heartbeat.
#[derive(Clone, Debug, PartialEq)]
pub struct InstanceStatus {
    /// Empty where the sender gave none: such senders of a service are one instance.
    pub instance: String,
    pub version: String,
    pub started_at: Option<Timestamp>,
    pub interval: Option<Duration>,
    pub last_seen: Timestamp,
    /// Beats stored since the instance's first one, repetitions not counted.
    pub beats: i64,
    /// Beats acknowledged since the store was opened, repetitions counted.
    pub received: u64,
}

type Row = (String, String, String, Option<i64>, Option<i64>, i64, i64);

// === impl InstanceStatus ===

impl InstanceStatus {
    /// An instance without a beat.
    pub(super) fn new(instance: &str) -> Self {
        Self {
            instance: instance.to_owned(),
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
        self.version.clone_from(&beat.version);
        self.started_at = beat.started_at;
        self.interval = beat.interval;
        self.last_seen = beat.received_at;
        self.beats += i64::from(is_new);
        self.received += 1;
    }

    /// Whether the instance has been late for more than `forget_after`.
    pub(crate) fn is_forgotten(&self, forget_after: Duration, now: Timestamp) -> bool {
        let late = until_late(self.interval.unwrap_or(DEFAULT_INTERVAL));
        is_silent_for(self.last_seen, late.saturating_add(forget_after), now)
    }

    fn from_row(row: Row) -> sqlx::Result<(String, Self)> {
        let (service, instance, version, started_at, interval, last_seen, beats) = row;
        let status = Self {
            instance,
            version,
            started_at: started_at.map(timestamp).transpose()?,
            interval: interval.map(|ns| Duration::from_nanos(ns.unsigned_abs())),
            last_seen: timestamp(last_seen)?,
            beats,
            received: 0,
        };
        Ok((service, status))
    }
}

/// Every instance with its service, the newest first.
pub(super) async fn load(
    connection: &mut SqliteConnection,
) -> sqlx::Result<Vec<(String, InstanceStatus)>> {
    let rows: Vec<Row> = sqlx::query_as(
        "SELECT service, instance, version, started_at_us, interval_ns, last_seen_us, beats
         FROM instances ORDER BY last_seen_us DESC, instance DESC",
    )
    .fetch_all(connection)
    .await?;
    rows.into_iter().map(InstanceStatus::from_row).collect()
}

pub(super) async fn save(
    service: &str,
    status: &InstanceStatus,
    connection: &mut SqliteConnection,
) -> sqlx::Result<()> {
    sqlx::query(
        "INSERT OR REPLACE INTO instances (service, instance, version, started_at_us, interval_ns,
                                           last_seen_us, beats)
         VALUES (?, ?, ?, ?, ?, ?, ?)",
    )
    .bind(service)
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

pub(super) async fn delete(
    service: &str,
    instance: &str,
    connection: &mut SqliteConnection,
) -> sqlx::Result<()> {
    sqlx::query("DELETE FROM instances WHERE service = ? AND instance = ?")
        .bind(service)
        .bind(instance)
        .execute(connection)
        .await?;
    Ok(())
}

fn timestamp(microsecond: i64) -> sqlx::Result<Timestamp> {
    Timestamp::from_microsecond(microsecond).map_err(|error| sqlx::Error::Decode(error.into()))
}
