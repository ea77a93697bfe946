//! The writer: a batch of beats in one transaction, and the steps of pruning.

use std::sync::Arc;

use sqlx::sqlite::SqliteConnection;
use tokio::sync::oneshot;
use vitalmesh_store::{Session, Write};

use super::batch::{self, Verdict};
use super::database::{self, Database, OpenError};
use super::known::Known;
use super::{Beat, StoreError, StoreSettings, retention};

#[derive(Debug)]
pub(super) enum Command {
    Beat(Beat, oneshot::Sender<Verdict>),
    Prune(oneshot::Sender<Result<u64, StoreError>>),
}

#[derive(Debug)]
pub(super) struct Writer {
    database: Database,
    is_corrupt: bool,
    known: Arc<Known>,
    settings: StoreSettings,
}

#[derive(Debug, thiserror::Error)]
enum WriteError {
    #[error(transparent)]
    Open(#[from] OpenError),
    #[error(transparent)]
    Sqlite(#[from] sqlx::Error),
}

// === impl Writer ===

impl Writer {
    pub(super) const fn new(
        database: Database,
        known: Arc<Known>,
        settings: StoreSettings,
    ) -> Self {
        Self {
            database,
            is_corrupt: false,
            known,
            settings,
        }
    }

    /// A waiter that is gone takes nothing away: its beat is stored all the same.
    async fn store(
        &mut self,
        beats: &[Beat],
        waiters: Vec<oneshot::Sender<Verdict>>,
        session: &mut Session,
    ) {
        let outcome = self.add(beats, session).await;
        match self.settled(outcome, session).await {
            Ok(verdicts) => {
                for (waiter, verdict) in waiters.into_iter().zip(verdicts) {
                    let _ = waiter.send(verdict);
                }
            }
            Err(error) => {
                for waiter in waiters {
                    let _ = waiter.send(Err(error.clone()));
                }
            }
        }
    }

    async fn prune(
        &mut self,
        waiter: oneshot::Sender<Result<u64, StoreError>>,
        session: &mut Session,
    ) {
        let outcome = self.delete(session).await;
        let _ = waiter.send(self.settled(outcome, session).await);
    }

    async fn add(
        &mut self,
        beats: &[Beat],
        session: &mut Session,
    ) -> Result<Vec<Verdict>, WriteError> {
        let connection = session.connection(self.reconnect()).await?;
        Ok(batch::write(beats, &self.known, &self.settings, connection).await?)
    }

    async fn delete(&mut self, session: &mut Session) -> Result<u64, WriteError> {
        let connection = session.connection(self.reconnect()).await?;
        Ok(retention::prune(&self.known, &self.settings, connection).await?)
    }

    /// What is known stays: a fresh database learns it again, beat by beat.
    async fn reconnect(&mut self) -> Result<SqliteConnection, OpenError> {
        if self.is_corrupt {
            // Not checked again: the check does not see all that a write stumbles over.
            self.database.set_aside("a write found it so")?;
            self.is_corrupt = false;
        }
        let (connection, _) = self.database.connect().await?;
        Ok(connection)
    }

    async fn settled<T>(
        &mut self,
        outcome: Result<T, WriteError>,
        session: &mut Session,
    ) -> Result<T, StoreError> {
        self.is_corrupt |= outcome.as_ref().is_err_and(WriteError::is_corruption);
        session
            .settled(outcome)
            .await
            .map_err(StoreError::Unwritable)
    }
}

impl Write for Writer {
    type Command = Command;

    async fn write(&mut self, batch: Vec<Command>, session: &mut Session) {
        let mut beats = Vec::with_capacity(batch.len());
        let mut waiters = Vec::with_capacity(batch.len());
        let mut prunes = Vec::new();
        for command in batch {
            match command {
                Command::Beat(beat, waiter) => {
                    beats.push(beat);
                    waiters.push(waiter);
                }
                Command::Prune(waiter) => prunes.push(waiter),
            }
        }
        if !beats.is_empty() {
            self.store(&beats, waiters, session).await;
        }
        for waiter in prunes {
            self.prune(waiter, session).await;
        }
    }
}

// === impl WriteError ===

impl WriteError {
    fn is_corruption(&self) -> bool {
        match self {
            Self::Sqlite(error) => database::is_corruption(error),
            Self::Open(OpenError::Corrupt { .. }) => true,
            Self::Open(_) => false,
        }
    }
}
