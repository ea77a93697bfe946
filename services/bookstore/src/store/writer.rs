//! The writer of books: one transaction a batch.

use sqlx::Connection;
use sqlx::sqlite::SqliteConnection;
use vitalmesh_proto::bookstore::v1::{Book, CreateBookRequest};
use vitalmesh_store::Writer;

use super::database::{self, Database};
use crate::draft::Draft;

#[derive(Debug)]
pub(super) struct BookWriter {
    database: Database,
}

// === impl BookWriter ===

impl BookWriter {
    pub(super) const fn new(database: Database) -> Self {
        Self { database }
    }
}

impl Writer for BookWriter {
    type Command = Draft;
    /// The stored book, with its id.
    type Response = Book;
    type Error = sqlx::Error;

    async fn connect(&mut self) -> sqlx::Result<SqliteConnection> {
        self.database.reconnect().await
    }

    async fn write(
        &mut self,
        drafts: &[Draft],
        connection: &mut SqliteConnection,
    ) -> sqlx::Result<Vec<Book>> {
        let mut transaction = connection.begin_with("BEGIN IMMEDIATE").await?;
        let mut books = Vec::with_capacity(drafts.len());
        for draft in drafts {
            let book_id = database::insert(draft.book(), &mut transaction).await?;
            books.push(with_id(book_id, draft.book()));
        }
        transaction.commit().await?;
        Ok(books)
    }
}

fn with_id(book_id: i32, book: &CreateBookRequest) -> Book {
    let book = book.clone();
    Book {
        book_id,
        author: book.author,
        country: book.country,
        language: book.language,
        link: book.link,
        pages: book.pages,
        title: book.title,
        year: book.year,
    }
}
