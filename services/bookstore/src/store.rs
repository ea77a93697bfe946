//! The store of books: one SQLite file with one writer, and a few connections that only read.
//!
//! Books that wait together share a transaction. The response to each comes after the commit, which
//! is synced to the disk (`synchronous=FULL`): neither SIGKILL nor a power loss loses an
//! acknowledged book.

mod database;
mod seed;
mod writer;

use std::error::Error;
use std::ops::RangeInclusive;
use std::path::Path;
use std::sync::Arc;

use sqlx::sqlite::SqlitePool;
use vitalmesh_proto::bookstore::v1::Book;
use vitalmesh_store::{Limits, QUEUE_CAPACITY, Queue, SubmitError};

pub use self::database::OpenError;
pub use self::seed::SeedError;

use self::database::{Database, Row};
use self::writer::BookWriter;
use crate::draft::Draft;

/// Books that a list reads per query.
const PAGE_SIZE: usize = 256;
/// Titles that are recommended: those of the books with the lowest ids.
const MAX_TITLES: i64 = 1000;

/// A handle to the store; clones share it.
#[derive(Clone, Debug)]
pub struct Store {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    queue: Queue<BookWriter>,
    readers: SqlitePool,
}

/// A position in a list: after this year and id.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Cursor {
    year: i32,
    book_id: i32,
}

#[derive(Clone, Debug, thiserror::Error)]
pub enum StoreError {
    #[error("{QUEUE_CAPACITY} books are waiting to be stored; send this one again later")]
    Busy,
    #[error("the bookstore cannot write now; send the book again later")]
    Unwritable(#[source] Arc<dyn Error + Send + Sync>),
    #[error("the bookstore cannot read now; try again later")]
    Unreadable(#[source] Arc<sqlx::Error>),
    #[error("the bookstore is closed; try again later")]
    Closed,
    #[error(
        "the bookstore panicked while it stored this book; check whether it is there, and send it \
         again if not"
    )]
    Panicked,
}

// === impl Store ===

impl Store {
    /// Opens `bookstore.db` in `folder`, and creates both where they are missing. A new database
    /// holds the classics of `data/books.json`.
    ///
    /// # Errors
    ///
    /// Another process has claimed the file, or it is not a bookstore's database.
    pub async fn open(folder: &Path, limits: Limits) -> Result<Self, OpenError> {
        let database = Database::claim(folder, limits)?;
        let connection = database.open().await?;
        let readers = database.readers();
        let queue = Queue::start("books", BookWriter::new(database), connection);
        let shared = Arc::new(Shared { queue, readers });
        Ok(Self { shared })
    }

    /// Stores a book and returns it with its id after the commit. Dropping the future does not
    /// withdraw the book.
    pub(crate) async fn create(&self, draft: Draft) -> Result<Book, StoreError> {
        Ok(self.shared.queue.submit(draft).await?)
    }

    /// The book with this id, if there is one.
    pub(crate) async fn book(&self, book_id: i32) -> Result<Option<Book>, StoreError> {
        let row: Option<Row> = sqlx::query_as(
            "SELECT book_id, author, country, language, link, pages, title, year
             FROM books WHERE book_id = ?",
        )
        .bind(book_id)
        .fetch_optional(&self.shared.readers)
        .await?;
        Ok(row.map(database::book))
    }

    /// The next page of the books of `years`, oldest first, and the position after it; none on the
    /// last page.
    pub(crate) async fn page(
        &self,
        years: &RangeInclusive<i32>,
        after: Cursor,
    ) -> Result<(Vec<Book>, Option<Cursor>), StoreError> {
        let rows: Vec<Row> = sqlx::query_as(
            "SELECT book_id, author, country, language, link, pages, title, year
             FROM books WHERE year <= ? AND (year, book_id) > (?, ?)
             ORDER BY year, book_id LIMIT ?",
        )
        .bind(years.end())
        .bind(after.year)
        .bind(after.book_id)
        .bind(PAGE_SIZE as i64)
        .fetch_all(&self.shared.readers)
        .await?;
        let books: Vec<_> = rows.into_iter().map(database::book).collect();
        let is_full = books.len() == PAGE_SIZE;
        let next = books.last().filter(|_| is_full).map(Cursor::after);
        Ok((books, next))
    }

    /// The titles to recommend.
    pub(crate) async fn titles(&self) -> Result<Vec<String>, StoreError> {
        let titles = sqlx::query_scalar("SELECT title FROM books ORDER BY book_id LIMIT ?")
            .bind(MAX_TITLES)
            .fetch_all(&self.shared.readers)
            .await?;
        Ok(titles)
    }

    /// Stores the books that wait, rejects later ones, and closes the file.
    pub async fn close(&self) {
        self.shared.readers.close().await;
        self.shared.queue.close().await;
    }
}

// === impl Cursor ===

impl Cursor {
    /// The position before the first book of `years`: ids begin at 1.
    pub(crate) const fn before(years: &RangeInclusive<i32>) -> Self {
        Self {
            year: *years.start(),
            book_id: 0,
        }
    }

    const fn after(book: &Book) -> Self {
        Self {
            year: book.year,
            book_id: book.book_id,
        }
    }
}

// === impl StoreError ===

impl From<SubmitError> for StoreError {
    fn from(error: SubmitError) -> Self {
        match error {
            SubmitError::Full => Self::Busy,
            SubmitError::Closed => Self::Closed,
            SubmitError::Failed(cause) => Self::Unwritable(cause),
            SubmitError::Panicked => Self::Panicked,
        }
    }
}

impl From<sqlx::Error> for StoreError {
    fn from(error: sqlx::Error) -> Self {
        match error {
            sqlx::Error::PoolClosed => Self::Closed,
            error => {
                let cause = &error as &(dyn Error + 'static);
                tracing::error!(error = cause, "books cannot be read");
                Self::Unreadable(Arc::new(error))
            }
        }
    }
}
