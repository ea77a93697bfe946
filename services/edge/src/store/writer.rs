//! The writer: the one task that changes the database, a batch at a time.

use std::error::Error;
use std::sync::Arc;

use sqlx::Connection;
use sqlx::sqlite::SqliteConnection;
use tokio::sync::{mpsc, oneshot};

use super::batch::{self, Verdict};
use super::database::{self, Database, OpenError};
use super::known::Known;
use super::{Beat, StoreError, StoreSettings, retention};

const BATCH: usize = 256;

#[derive(Debug)]
pub(super) enum Command {
    Beat(Beat, oneshot::Sender<Verdict>),
    Prune(oneshot::Sender<Result<u64, StoreError>>),
    Close,
}

#[derive(Debug)]
pub(super) struct Writer {
    database: Database,
    /// None after a failed write: the next one gets another connection.
    connection: Option<SqliteConnection>,
    is_corrupt: bool,
    known: Arc<Known>,
    settings: StoreSettings,
    commands: mpsc::Receiver<Command>,
    is_failing: bool,
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
        connection: SqliteConnection,
        known: Arc<Known>,
        settings: StoreSettings,
        commands: mpsc::Receiver<Command>,
    ) -> Self {
        Self {
            database,
            connection: Some(connection),
            is_corrupt: false,
            known,
            settings,
            commands,
            is_failing: false,
        }
    }

    pub(super) async fn run(mut self) {
        let mut waiting = Vec::with_capacity(BATCH);
        while self.commands.recv_many(&mut waiting, BATCH).await > 0 {
            self.obey(&mut waiting).await;
        }
        // The last connection to close moves the write-ahead log into the database.
        if let Some(connection) = self.connection
            && let Err(error) = connection.close().await
        {
            tracing::error!(%error, "cannot close the heartbeat database");
        }
    }

    async fn obey(&mut self, waiting: &mut Vec<Command>) {
        let mut beats = Vec::with_capacity(waiting.len());
        let mut waiters = Vec::with_capacity(waiting.len());
        let mut prunes = Vec::new();
        for command in waiting.drain(..) {
            match command {
                Command::Beat(beat, waiter) => {
                    beats.push(beat);
                    waiters.push(waiter);
                }
                Command::Prune(waiter) => prunes.push(waiter),
                Command::Close => self.commands.close(),
            }
        }
        if !beats.is_empty() {
            self.store(&beats, waiters).await;
        }
        for waiter in prunes {
            self.prune(waiter).await;
        }
    }

    /// A waiter that is gone takes nothing away: its beat is stored all the same.
    async fn store(&mut self, beats: &[Beat], waiters: Vec<oneshot::Sender<Verdict>>) {
        let outcome = self.write(beats).await;
        match self.settled(outcome).await {
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

    async fn prune(&mut self, waiter: oneshot::Sender<Result<u64, StoreError>>) {
        let outcome = self.delete().await;
        let _ = waiter.send(self.settled(outcome).await);
    }

    async fn write(&mut self, beats: &[Beat]) -> Result<Vec<Verdict>, WriteError> {
        let known = Arc::clone(&self.known);
        let settings = self.settings.clone();
        let connection = self.connection().await?;
        Ok(batch::write(beats, &known, &settings, connection).await?)
    }

    async fn delete(&mut self) -> Result<u64, WriteError> {
        let known = Arc::clone(&self.known);
        let settings = self.settings.clone();
        let connection = self.connection().await?;
        Ok(retention::prune(&known, &settings, connection).await?)
    }

    async fn connection(&mut self) -> Result<&mut SqliteConnection, OpenError> {
        let connection = match self.connection.take() {
            Some(connection) => connection,
            None => self.reconnect().await?,
        };
        Ok(self.connection.insert(connection))
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

    async fn disconnect(&mut self, error: &WriteError) {
        self.is_corrupt |= error.is_corruption();
        if let Some(connection) = self.connection.take()
            && let Err(error) = connection.close().await
        {
            tracing::debug!(%error, "cannot close the heartbeat database after a failed write");
        }
    }

    /// Logs when writing begins to fail and when it works again.
    async fn settled<T>(&mut self, outcome: Result<T, WriteError>) -> Result<T, StoreError> {
        let was_failing = std::mem::replace(&mut self.is_failing, outcome.is_err());
        match outcome {
            Ok(value) => {
                if was_failing {
                    tracing::info!("heartbeats are stored again");
                }
                Ok(value)
            }
            Err(error) => {
                if !was_failing {
                    let cause = &error as &(dyn Error + 'static);
                    tracing::error!(error = cause, "heartbeats cannot be stored");
                }
                self.disconnect(&error).await;
                Err(StoreError::Unwritable(Arc::new(error)))
            }
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
