//! One transaction: the beats and expiries of a batch, and the services that result from them.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use sqlx::sqlite::SqliteConnection;
use sqlx::{Connection, Sqlite, Transaction};

use super::instances::{self, InstanceStatus};
use super::services::{self, ServiceStatus, Services};
use super::{Beat, StoreError, StoreSettings, nanoseconds, retention};
use crate::deadline::{DEFAULT_INTERVAL, is_silent_for, until_late};

/// An open transaction. Dropped before its commit, it is rolled back.
pub(super) struct Batch<'a> {
    transaction: Transaction<'a, Sqlite>,
    settings: &'a StoreSettings,
    /// The services as they are after the commit.
    services: Services,
    /// Which instances of which services the commit has to save.
    changed: BTreeSet<(String, String)>,
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
        if !self.make_room_for(beat).await? {
            let max = self.settings.max_instances;
            return Ok(Err(StoreError::TooManyInstances { max }));
        }
        let added = insert(beat, &mut self.transaction).await?;
        let service = self.services.entry(beat.service.clone());
        let service = service.or_insert_with(|| Arc::new(ServiceStatus::new(&beat.service)));
        let service = Arc::make_mut(service);
        let instance = service.instances.entry(beat.instance.clone());
        let instance = instance.or_insert_with(|| InstanceStatus::new(&beat.instance));
        instance.record(beat, added > 0);
        service.beats += i64::from(added > 0);
        self.changed
            .insert((beat.service.clone(), beat.instance.clone()));
        Ok(Ok(added))
    }

    /// Deletes a bounded number of beats, and the instances and services, that are past their
    /// retention. Returns how many beats were deleted.
    pub(super) async fn prune(&mut self) -> sqlx::Result<u64> {
        let now = Timestamp::now();
        let cutoff = retention::cutoff(self.settings, now);
        let deleted = retention::prune(cutoff, self.settings, &mut self.transaction).await?;
        let mut forgotten = Vec::new();
        for status in self.services.values() {
            let remembered = status.remembered(self.settings.forget_after, now);
            let kept: BTreeSet<_> = remembered
                .filter(|instance| instance.last_seen >= cutoff)
                .map(|instance| &instance.instance)
                .collect();
            let gone = status.instances.keys().filter(|name| !kept.contains(name));
            forgotten.extend(gone.map(|name| (status.service.clone(), name.clone())));
        }
        for (service, instance) in forgotten {
            self.forget(&service, &instance).await?;
        }
        retention::prune_services(&mut self.transaction).await?;
        self.services
            .retain(|_, status| !status.instances.is_empty());
        Ok(deleted)
    }

    /// Saves what has changed and commits. Returns all services as of the commit.
    pub(super) async fn commit(mut self) -> sqlx::Result<Services> {
        for (service, instance) in &self.changed {
            let status = self.services.get(service);
            let Some((status, instance)) =
                status.and_then(|status| Some((status, status.instances.get(instance)?)))
            else {
                continue;
            };
            services::save(status, &mut self.transaction).await?;
            instances::save(service, instance, &mut self.transaction).await?;
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

    /// Whether the instance of `beat` has a place. Where none is free, the instance that has been
    /// silent for longest is forgotten, if it is late.
    async fn make_room_for(&mut self, beat: &Beat) -> sqlx::Result<bool> {
        let Some(status) = self.services.get(&beat.service) else {
            return Ok(self.settings.max_instances > 0);
        };
        let has_room = status.instances.contains_key(&beat.instance)
            || status.instances.len() < self.settings.max_instances;
        if has_room {
            return Ok(true);
        }
        let oldest = status.instances.values().min_by_key(|it| it.last_seen);
        let oldest = oldest.filter(|it| {
            // A sender that announces a short interval is not evicted sooner.
            let interval = it.interval.unwrap_or(DEFAULT_INTERVAL);
            let limit = until_late(interval.max(MIN_EVICTION_INTERVAL));
            is_silent_for(it.last_seen, limit, beat.received_at)
        });
        let Some(oldest) = oldest.map(|it| it.instance.clone()) else {
            return Ok(false);
        };
        self.forget(&beat.service, &oldest).await?;
        Ok(true)
    }

    async fn forget(&mut self, service: &str, instance: &str) -> sqlx::Result<()> {
        instances::delete(service, instance, &mut self.transaction).await?;
        if let Some(status) = self.services.get_mut(service) {
            Arc::make_mut(status).instances.remove(instance);
        }
        Ok(())
    }
}

/// Bounds how fast new instances take the places of others: each costs series and lines in the log.
const MIN_EVICTION_INTERVAL: Duration = DEFAULT_INTERVAL;

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
