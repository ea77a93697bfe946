//! The writer of heartbeats: one transaction a batch, and a new database where the file is corrupt.

use std::sync::Arc;

use sqlx::sqlite::SqliteConnection;
use vitalmesh_store::Writer;

use super::batch::Batch;
use super::database::{self, Database, OpenError};
use super::services::ServiceTable;
use super::{Beat, StoreError, StoreSettings};

#[derive(Debug)]
pub(super) enum Command {
    Store(Beat),
    /// Deletes what is past its retention: one bounded step.
    Prune,
}

#[derive(Debug)]
pub(super) struct BeatWriter {
    database: Database,
    /// Whether the next connection has to set the file aside.
    is_corrupt: bool,
    services: Arc<ServiceTable>,
    settings: StoreSettings,
}

#[derive(Debug, thiserror::Error)]
pub(super) enum WriteError {
    #[error(transparent)]
    Open(#[from] OpenError),
    #[error(transparent)]
    Sqlite(#[from] sqlx::Error),
}

// === impl BeatWriter ===

impl BeatWriter {
    pub(super) const fn new(
        database: Database,
        services: Arc<ServiceTable>,
        settings: StoreSettings,
    ) -> Self {
        Self {
            database,
            is_corrupt: false,
            services,
            settings,
        }
    }

    async fn commit(
        &self,
        commands: &[Command],
        connection: &mut SqliteConnection,
    ) -> sqlx::Result<Vec<Result<u64, StoreError>>> {
        let services = (*self.services.committed()).clone();
        let mut batch = Batch::begin(services, &self.settings, connection).await?;
        let mut responses = Vec::with_capacity(commands.len());
        for command in commands {
            responses.push(match command {
                Command::Store(beat) => batch.store(beat).await?,
                Command::Prune => Ok(batch.prune().await?),
            });
        }
        self.services.replace(batch.commit().await?);
        Ok(responses)
    }
}

impl Writer for BeatWriter {
    type Command = Command;
    /// How many beats the command added or deleted.
    type Response = Result<u64, StoreError>;
    type Error = WriteError;

    /// The services in memory stay: a new database gets them back beat by beat.
    async fn connect(&mut self) -> Result<SqliteConnection, WriteError> {
        if self.is_corrupt {
            // Not checked again: the check does not find every damage that a write finds.
            self.database.set_aside("found by a write")?;
            self.is_corrupt = false;
        }
        let connected = self.database.connect().await;
        self.is_corrupt = matches!(connected, Err(OpenError::Corrupt { .. }));
        let (connection, _) = connected?;
        Ok(connection)
    }

    async fn write(
        &mut self,
        commands: &[Command],
        connection: &mut SqliteConnection,
    ) -> Result<Vec<Result<u64, StoreError>>, WriteError> {
        let written = self.commit(commands, connection).await;
        self.is_corrupt = written.as_ref().is_err_and(database::is_corruption);
        Ok(written?)
    }
}

#[cfg(test)]
mod tests {
    use jiff::Timestamp;

    use super::*;

    #[tokio::test]
    async fn a_commit_that_fails_leaves_the_services_in_memory_as_they_were() {
        let folder = tempfile::tempdir().unwrap();
        let database = Database::claim(folder.path(), &StoreSettings::default()).unwrap();
        let (mut connection, services) = database.open().await.unwrap();
        let table = Arc::new(ServiceTable::new(services));
        let settings = StoreSettings::default();
        let mut writer = BeatWriter::new(database, Arc::clone(&table), settings);
        let beat = [Command::Store(Beat {
            service: "time".to_owned(),
            instance: String::new(),
            version: String::new(),
            started_at: None,
            interval: None,
            sequence: 1,
            vital_signs: None,
            received_at: Timestamp::now(),
        })];

        let mut handle = connection.lock_handle().await.unwrap();
        handle.set_commit_hook(|| false);
        drop(handle);
        writer.write(&beat, &mut connection).await.unwrap_err();
        assert_eq!(table.committed().len(), 0);

        let mut connection = writer.connect().await.unwrap();
        let responses = writer.write(&beat, &mut connection).await.unwrap();
        assert!(matches!(responses[..], [Ok(1)]), "{responses:?}");
        assert_eq!(table.committed()["time"].beats, 1);
    }
}
