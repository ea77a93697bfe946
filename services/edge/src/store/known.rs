//! What is known of each service: in memory, changed only after a commit.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use jiff::Timestamp;
use sqlx::sqlite::SqliteConnection;

use super::Beat;

#[derive(Debug, Default)]
pub(super) struct Known {
    services: Mutex<BTreeMap<String, ServiceStatus>>,
}

/// A service as its last beat told.
#[derive(Clone, Debug, PartialEq)]
pub struct ServiceStatus {
    pub service: String,
    pub instance: String,
    pub version: String,
    pub started_at: Option<Timestamp>,
    pub interval: Option<Duration>,
    pub last_seen: Timestamp,
    /// Beats stored since the service became known, a repeated one once.
    pub beats: i64,
    /// Beats acknowledged since the store was opened, a repeated one each time.
    pub received: u64,
}

type Row = (String, String, String, Option<i64>, Option<i64>, i64, i64);

// === impl Known ===

impl Known {
    pub(super) async fn load(connection: &mut SqliteConnection) -> sqlx::Result<Self> {
        let rows: Vec<Row> = sqlx::query_as(
            "SELECT service, instance, version, started_at_us, interval_ns, last_seen_us, beats
             FROM services",
        )
        .fetch_all(connection)
        .await?;
        let services = rows
            .into_iter()
            .map(|row| Ok((row.0.clone(), ServiceStatus::restored(row)?)))
            .collect::<sqlx::Result<_>>()?;
        Ok(Self {
            services: Mutex::new(services),
        })
    }

    pub(super) fn services(&self) -> Vec<ServiceStatus> {
        self.lock().values().cloned().collect()
    }

    pub(super) fn get(&self, service: &str) -> Option<ServiceStatus> {
        self.lock().get(service).cloned()
    }

    pub(super) fn len(&self) -> usize {
        self.lock().len()
    }

    pub(super) fn update(&self, changed: BTreeMap<String, ServiceStatus>) {
        self.lock().extend(changed);
    }

    pub(super) fn forget_before(&self, cutoff: Timestamp) {
        self.lock().retain(|_, status| status.last_seen >= cutoff);
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<String, ServiceStatus>> {
        self.services.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

// === impl ServiceStatus ===

impl ServiceStatus {
    pub(super) fn unseen(service: &str) -> Self {
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

    pub(super) fn saw(&mut self, beat: &Beat, is_new: bool) {
        self.instance.clone_from(&beat.instance);
        self.version.clone_from(&beat.version);
        self.started_at = beat.started_at;
        self.interval = beat.interval;
        self.last_seen = beat.received_at;
        self.beats += i64::from(is_new);
        self.received += 1;
    }

    fn restored(row: Row) -> sqlx::Result<Self> {
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

fn timestamp(microsecond: i64) -> sqlx::Result<Timestamp> {
    Timestamp::from_microsecond(microsecond).map_err(|error| sqlx::Error::Decode(error.into()))
}
