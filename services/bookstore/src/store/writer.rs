//! The writer: the one task that changes the database, a batch at a time.

use std::error::Error;
use std::sync::Arc;

use sqlx::Connection;
use sqlx::sqlite::SqliteConnection;
use tokio::sync::{mpsc, oneshot};
use vitalmesh_proto::bookstore::v1::{Book, CreateBookRequest};

use super::StoreError;
use super::database::{self, Database};
use crate::draft::Draft;

const BATCH: usize = 256;

type Waiter = oneshot::Sender<Result<Book, StoreError>>;

#[derive(Debug)]
pub(super) enum Command {
    Create(Draft, Waiter),
    Close,
}

#[derive(Debug)]
pub(super) struct Writer {
    database: Database,
    /// None after a failed write: the next one gets another connection.
    connection: Option<SqliteConnection>,
    commands: mpsc::Receiver<Command>,
    is_failing: bool,
}

// === impl Writer ===

impl Writer {
    pub(super) const fn new(
        database: Database,
        connection: SqliteConnection,
        commands: mpsc::Receiver<Command>,
    ) -> Self {
        Self {
            database,
            connection: Some(connection),
            commands,
            is_failing: false,
        }
    }

    pub(super) async fn run(mut self) {
        let mut waiting = Vec::with_capacity(BATCH);
        while self.commands.recv_many(&mut waiting, BATCH).await > 0 {
            let mut drafts = Vec::with_capacity(waiting.len());
            let mut waiters = Vec::with_capacity(waiting.len());
            for command in waiting.drain(..) {
                match command {
                    Command::Create(draft, waiter) => {
                        drafts.push(draft);
                        waiters.push(waiter);
                    }
                    Command::Close => self.commands.close(),
                }
            }
            if !drafts.is_empty() {
                self.store(&drafts, waiters).await;
            }
        }
        // The last connection to close moves the write-ahead log into the database.
        if let Some(connection) = self.connection
            && let Err(error) = connection.close().await
        {
            tracing::error!(%error, "cannot close the bookstore's database");
        }
    }

    /// A waiter that is gone takes nothing away: its book is stored all the same.
    async fn store(&mut self, drafts: &[Draft], waiters: Vec<Waiter>) {
        let outcome = self.write(drafts).await;
        match self.settled(outcome).await {
            Ok(books) => {
                for (waiter, book) in waiters.into_iter().zip(books) {
                    let _ = waiter.send(Ok(book));
                }
            }
            Err(error) => {
                for waiter in waiters {
                    let _ = waiter.send(Err(error.clone()));
                }
            }
        }
    }

    /// All in one transaction, all of it or nothing.
    async fn write(&mut self, drafts: &[Draft]) -> sqlx::Result<Vec<Book>> {
        let connection = match self.connection.take() {
            Some(connection) => connection,
            None => self.database.reconnect().await?,
        };
        let connection = self.connection.insert(connection);
        let mut transaction = connection.begin_with("BEGIN IMMEDIATE").await?;
        let mut books = Vec::with_capacity(drafts.len());
        for draft in drafts {
            let book_id = database::insert(draft.book(), &mut transaction).await?;
            books.push(stored(book_id, draft.book()));
        }
        transaction.commit().await?;
        Ok(books)
    }

    /// Logs when writing begins to fail and when it works again.
    async fn settled<T>(&mut self, outcome: sqlx::Result<T>) -> Result<T, StoreError> {
        let was_failing = std::mem::replace(&mut self.is_failing, outcome.is_err());
        match outcome {
            Ok(value) => {
                if was_failing {
                    tracing::info!("books are stored again");
                }
                Ok(value)
            }
            Err(error) => {
                if !was_failing {
                    let cause = &error as &(dyn Error + 'static);
                    tracing::error!(error = cause, "books cannot be stored");
                }
                if let Some(connection) = self.connection.take()
                    && let Err(error) = connection.close().await
                {
                    tracing::debug!(%error, "cannot close the database after a failed write");
                }
                Err(StoreError::Unwritable(Arc::new(error)))
            }
        }
    }
}

fn stored(book_id: i32, draft: &CreateBookRequest) -> Book {
    let draft = draft.clone();
    Book {
        book_id,
        author: draft.author,
        country: draft.country,
        language: draft.language,
        link: draft.link,
        pages: draft.pages,
        title: draft.title,
        year: draft.year,
    }
}
