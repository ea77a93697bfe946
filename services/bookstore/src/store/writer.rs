//! The writer: a batch of books in one transaction.

use sqlx::Connection;
use tokio::sync::oneshot;
use vitalmesh_proto::bookstore::v1::{Book, CreateBookRequest};
use vitalmesh_store::{Session, Write};

use super::StoreError;
use super::database::{self, Database};
use crate::draft::Draft;

/// A book to store, and who waits for it.
pub(super) type Command = (Draft, oneshot::Sender<Result<Book, StoreError>>);

#[derive(Debug)]
pub(super) struct Writer {
    database: Database,
}

// === impl Writer ===

impl Writer {
    pub(super) const fn new(database: Database) -> Self {
        Self { database }
    }

    /// All in one transaction, all of it or nothing.
    async fn add(&self, drafts: &[Draft], session: &mut Session) -> sqlx::Result<Vec<Book>> {
        let connection = session.connection(self.database.reconnect()).await?;
        let mut transaction = connection.begin_with("BEGIN IMMEDIATE").await?;
        let mut books = Vec::with_capacity(drafts.len());
        for draft in drafts {
            let book_id = database::insert(draft.book(), &mut transaction).await?;
            books.push(stored(book_id, draft.book()));
        }
        transaction.commit().await?;
        Ok(books)
    }
}

impl Write for Writer {
    type Command = Command;

    /// A waiter that is gone takes nothing away: its book is stored all the same.
    async fn write(&mut self, batch: Vec<Command>, session: &mut Session) {
        let (drafts, waiters): (Vec<_>, Vec<_>) = batch.into_iter().unzip();
        let outcome = self.add(&drafts, session).await;
        match session.settled(outcome).await {
            Ok(books) => {
                for (waiter, book) in waiters.into_iter().zip(books) {
                    let _ = waiter.send(Ok(book));
                }
            }
            Err(error) => {
                for waiter in waiters {
                    let _ = waiter.send(Err(StoreError::Unwritable(error.clone())));
                }
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
