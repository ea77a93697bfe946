//! A batch of beats: one transaction, all of it or nothing.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::time::Duration;

use jiff::Timestamp;
use sqlx::Connection;
use sqlx::sqlite::SqliteConnection;

use super::known::{Known, ServiceStatus};
use super::{Beat, StoreError, StoreSettings};

/// What each beat of a batch is told once the batch is committed.
pub(super) type Verdict = Result<(), StoreError>;

struct Batch<'a> {
    known: &'a Known,
    known_before: usize,
    settings: &'a StoreSettings,
    new: usize,
    changed: BTreeMap<String, ServiceStatus>,
}

/// Writes `beats` and what they change of `known`, in their order.
pub(super) async fn write(
    beats: &[Beat],
    known: &Known,
    settings: &StoreSettings,
    connection: &mut SqliteConnection,
) -> sqlx::Result<Vec<Verdict>> {
    let mut batch = Batch::new(known, settings);
    let mut transaction = connection.begin_with("BEGIN IMMEDIATE").await?;
    let mut verdicts = Vec::with_capacity(beats.len());
    for beat in beats {
        verdicts.push(batch.add(beat, &mut transaction).await?);
    }
    for status in batch.changed.values() {
        save(status, &mut transaction).await?;
    }
    transaction.commit().await?;
    known.update(batch.changed);
    Ok(verdicts)
}

// === impl Batch ===

impl<'a> Batch<'a> {
    fn new(known: &'a Known, settings: &'a StoreSettings) -> Self {
        Self {
            known,
            known_before: known.len(),
            settings,
            new: 0,
            changed: BTreeMap::new(),
        }
    }

    async fn add(
        &mut self,
        beat: &Beat,
        connection: &mut SqliteConnection,
    ) -> sqlx::Result<Verdict> {
        let Some(status) = self.status(&beat.service) else {
            let max = self.settings.max_services;
            return Ok(Err(StoreError::TooManyServices { max }));
        };
        let is_new = insert(beat, connection).await?;
        status.saw(beat, is_new);
        Ok(Ok(()))
    }

    /// Reserved services that have not come yet, this one aside.
    fn awaited(&self, service: &str) -> usize {
        let absent =
            |name: &str| !self.changed.contains_key(name) && self.known.get(name).is_none();
        let reserved = self.settings.reserved.iter();
        reserved
            .filter(|name| *name != service && absent(name))
            .count()
    }

    fn status(&mut self, service: &str) -> Option<&mut ServiceStatus> {
        let taken = self.known_before + self.new + self.awaited(service);
        match self.changed.entry(service.to_owned()) {
            Entry::Occupied(entry) => Some(entry.into_mut()),
            Entry::Vacant(entry) => match self.known.get(service) {
                Some(status) => Some(entry.insert(status)),
                None if taken >= self.settings.max_services => None,
                None => {
                    self.new += 1;
                    Some(entry.insert(ServiceStatus::unseen(service)))
                }
            },
        }
    }
}

/// Whether the beat was not there yet.
async fn insert(beat: &Beat, connection: &mut SqliteConnection) -> sqlx::Result<bool> {
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
    Ok(done.rows_affected() > 0)
}

async fn save(status: &ServiceStatus, connection: &mut SqliteConnection) -> sqlx::Result<()> {
    sqlx::query(
        "INSERT OR REPLACE INTO services (service, instance, version, started_at_us, interval_ns,
                                          last_seen_us, beats)
         VALUES (?, ?, ?, ?, ?, ?, ?)",
    )
    .bind(&status.service)
    .bind(&status.instance)
    .bind(&status.version)
    .bind(status.started_at.map(Timestamp::as_microsecond))
    .bind(status.interval.map(nanoseconds))
    .bind(status.last_seen.as_microsecond())
    .bind(status.beats)
    .execute(connection)
    .await?;
    Ok(())
}

fn nanoseconds(interval: Duration) -> i64 {
    i64::try_from(interval.as_nanos()).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use vitalmesh_store::Limits;

    use super::super::database::Database;
    use super::super::{Beat, StoreSettings};
    use super::*;

    #[tokio::test]
    async fn a_commit_that_fails_leaves_nothing_known() {
        let folder = tempfile::tempdir().unwrap();
        let database = Database::claim(folder.path(), Limits::default()).unwrap();
        let (mut connection, known) = database.open().await.unwrap();
        let beat = Beat {
            service: "time".to_owned(),
            instance: String::new(),
            version: String::new(),
            started_at: None,
            interval: None,
            sequence: 1,
            vital_signs: None,
            received_at: Timestamp::now(),
        };
        let beats = std::slice::from_ref(&beat);

        let mut handle = connection.lock_handle().await.unwrap();
        handle.set_commit_hook(|| false);
        drop(handle);
        write(beats, &known, &StoreSettings::default(), &mut connection)
            .await
            .unwrap_err();
        assert_eq!(known.services(), []);

        let (mut connection, _) = database.connect().await.unwrap();
        let verdicts = write(beats, &known, &StoreSettings::default(), &mut connection)
            .await
            .unwrap();
        assert!(matches!(verdicts[..], [Ok(())]));
        assert_eq!(known.services()[0].beats, 1);
    }
}
