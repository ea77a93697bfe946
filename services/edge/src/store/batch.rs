//! One transaction: the beats and expiries of a batch, and the services that result from them.

use std::collections::BTreeSet;

use jiff::Timestamp;
use sqlx::sqlite::SqliteConnection;
use sqlx::{Connection, Sqlite, Transaction};

use super::services::{self, ServiceStatus, Services};
use super::{Beat, StoreError, StoreSettings, nanoseconds, retention};

/// An open transaction. Dropped before its commit, it is rolled back.
pub(super) struct Batch<'a> {
    transaction: Transaction<'a, Sqlite>,
    settings: &'a StoreSettings,
    /// The services as they are after the commit.
    services: Services,
    /// Which of them the commit has to save.
    changed: BTreeSet<String>,
}

// === impl Batch ===

impl<'a> Batch<'a> {
    /// Begins a transaction over the committed `services`.
    pub(super) async fn begin(
        services: Services,
        settings: &'a StoreSettings,
        connection: &'a mut SqliteConnection,
    ) -> sqlx::Result<Self> {
        Ok(Self {
            transaction: connection.begin_with("BEGIN IMMEDIATE").await?,
            settings,
            services,
            changed: BTreeSet::new(),
        })
    }

    /// Stores a beat. Returns how many beats that adds: 0 where it is a repetition.
    pub(super) async fn store(&mut self, beat: &Beat) -> sqlx::Result<Result<u64, StoreError>> {
        if !self.has_room_for(&beat.service) {
            let max = self.settings.max_services;
            return Ok(Err(StoreError::TooManyServices { max }));
        }
        let added = insert(beat, &mut self.transaction).await?;
        let service = self.services.entry(beat.service.clone());
        let status = service.or_insert_with(|| ServiceStatus::new(&beat.service));
        status.record(beat, added > 0);
        self.changed.insert(beat.service.clone());
        Ok(Ok(added))
    }

    /// Deletes a bounded number of beats, and the services, that are past their retention. Returns
    /// how many beats were deleted.
    pub(super) async fn prune(&mut self) -> sqlx::Result<u64> {
        let cutoff = retention::cutoff(self.settings);
        let deleted = retention::prune(cutoff, self.settings, &mut self.transaction).await?;
        self.services.retain(|_, status| status.last_seen >= cutoff);
        Ok(deleted)
    }

    /// Saves the changed services and commits. Returns all services as of the commit.
    pub(super) async fn commit(mut self) -> sqlx::Result<Services> {
        for status in self
            .changed
            .iter()
            .filter_map(|name| self.services.get(name))
        {
            services::save(status, &mut self.transaction).await?;
        }
        self.transaction.commit().await?;
        Ok(self.services)
    }

    /// Whether `service` has a place, or there is one that no reserved service needs.
    fn has_room_for(&self, service: &str) -> bool {
        let is_unseen = |name: &&String| *name != service && !self.services.contains_key(*name);
        let reserved = self.settings.reserved.iter().filter(is_unseen).count();
        self.services.contains_key(service)
            || self.services.len() + reserved < self.settings.max_services
    }
}

/// Returns 0 where the beat is there already.
async fn insert(beat: &Beat, connection: &mut SqliteConnection) -> sqlx::Result<u64> {
    let done = sqlx::query(
        "INSERT INTO beats (service, instance, version, started_at_us, interval_ns, sequence,
                            vital_signs, received_at_us)
         VALUES (?, ?, ?, ?, ?, ?, ?, ?)
         ON CONFLICT DO NOTHING",
    )
    .bind(&beat.service)
    .bind(&beat.instance)
    .bind(&beat.version)
    .bind(beat.started_at.map(Timestamp::as_microsecond))
    .bind(beat.interval.map(nanoseconds))
    .bind(beat.sequence)
    .bind(&beat.vital_signs)
    .bind(beat.received_at.as_microsecond())
    .execute(connection)
    .await?;
    Ok(done.rows_affected())
}
