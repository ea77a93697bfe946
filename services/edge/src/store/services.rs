//! The services and their instances: kept in the file, and in memory for readers.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use jiff::Timestamp;
use sqlx::sqlite::SqliteConnection;

use super::instances::{self, InstanceStatus};

/// The status of each service by its name, as of one commit.
pub(super) type Services = BTreeMap<String, Arc<ServiceStatus>>;

/// The services as of the last commit. Replaced as a whole, by the writer alone.
#[derive(Debug)]
pub(super) struct ServiceTable {
    committed: Mutex<Arc<Services>>,
}

/// A service and its instances as of their last heartbeats.
#[derive(Clone, Debug, PartialEq)]
pub struct ServiceStatus {
    pub service: String,
    /// Beats stored since the service's first one, those of forgotten instances included.
    pub beats: i64,
    /// By their names.
    pub instances: BTreeMap<String, InstanceStatus>,
}

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
            beats: 0,
            instances: BTreeMap::new(),
        }
    }

    /// The instance whose heartbeat came last. It is not forgotten while the service is known.
    pub fn newest(&self) -> Option<&InstanceStatus> {
        let order = |status: &&InstanceStatus| (status.last_seen, status.instance.clone());
        self.instances.values().max_by_key(order)
    }

    /// The instances that are not forgotten, by their names.
    pub fn remembered(
        &self,
        forget_after: Duration,
        now: Timestamp,
    ) -> impl Iterator<Item = &InstanceStatus> {
        let newest = self.newest().map(|status| status.instance.as_str());
        self.instances.values().filter(move |status| {
            Some(status.instance.as_str()) == newest || !status.is_forgotten(forget_after, now)
        })
    }
}

/// The services of the file, each with its newest instances, at most `max_instances`.
pub(super) async fn load(
    max_instances: usize,
    connection: &mut SqliteConnection,
) -> sqlx::Result<Services> {
    let mut services: BTreeMap<String, ServiceStatus> = BTreeMap::new();
    for (service, status) in instances::load(connection).await? {
        let known = services
            .entry(service)
            .or_insert_with_key(|service| ServiceStatus::new(service));
        if known.instances.len() < max_instances {
            known.instances.insert(status.instance.clone(), status);
        }
    }
    let beats: Vec<(String, i64)> = sqlx::query_as("SELECT service, beats FROM services")
        .fetch_all(connection)
        .await?;
    for (service, beats) in beats {
        if let Some(status) = services.get_mut(&service) {
            status.beats = beats;
        }
    }
    let services = services.into_iter();
    Ok(services
        .map(|(service, status)| (service, Arc::new(status)))
        .collect())
}

pub(super) async fn save(
    status: &ServiceStatus,
    connection: &mut SqliteConnection,
) -> sqlx::Result<()> {
    sqlx::query("INSERT OR REPLACE INTO services (service, beats) VALUES (?, ?)")
        .bind(&status.service)
        .bind(status.beats)
        .execute(connection)
        .await?;
    Ok(())
}
