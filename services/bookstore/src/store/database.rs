//! The database file: its schema, its checks, and its first books.

use std::path::{Path, PathBuf};
use std::time::Duration;

use sqlx::Connection;
use sqlx::sqlite::{SqliteConnection, SqlitePool, SqlitePoolOptions};
use vitalmesh_proto::bookstore::v1::{Book, CreateBookRequest};
use vitalmesh_store::{ClaimError, Damage, Limits, Synchronous};

use super::seed::{self, SeedError};

const FILE: &str = "bookstore.db";
const SCHEMA_VERSION: i64 = 1;
const READERS: u32 = 4;
/// How long a read waits for a free connection.
const READER_TIMEOUT: Duration = Duration::from_secs(5);

const SCHEMA: &str = "
CREATE TABLE books (
    book_id INTEGER PRIMARY KEY AUTOINCREMENT,
    author TEXT NOT NULL,
    country TEXT NOT NULL,
    language TEXT NOT NULL,
    link TEXT NOT NULL,
    pages INTEGER NOT NULL,
    title TEXT NOT NULL,
    year INTEGER NOT NULL
) STRICT;
CREATE INDEX books_by_year ON books (year, book_id);
PRAGMA user_version = 1;
";

pub(super) type Row = (i32, String, String, String, String, i32, String, i32);

#[derive(Debug)]
pub(super) struct Database {
    file: vitalmesh_store::Database,
}

#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    #[error(transparent)]
    Claim(#[from] ClaimError),
    #[error("{path} has schema {found} of a newer program; run that one or choose another folder")]
    Newer { path: PathBuf, found: i64 },
    #[error("{path} is not a bookstore's database; move it away or choose another folder")]
    Foreign { path: PathBuf },
    #[error(
        "{path} is corrupt ({what}); restore it from a copy, or move it away to start with a new one"
    )]
    Corrupt { path: PathBuf, what: String },
    #[error(transparent)]
    Seed(#[from] SeedError),
    #[error("cannot open the bookstore's database")]
    Sqlite(#[from] sqlx::Error),
}

// === impl Database ===

impl Database {
    pub(super) fn claim(folder: &Path, limits: Limits) -> Result<Self, OpenError> {
        let file = vitalmesh_store::Database::claim(folder, FILE, limits, Synchronous::Full)?;
        Ok(Self { file })
    }

    /// Opens a connection, checks all pages, and checks the schema or creates it. A corrupt file is
    /// an error: it is never set aside.
    pub(super) async fn open(&self) -> Result<SqliteConnection, OpenError> {
        let mut connection = self.file.connect().await?;
        match self.check_and_prepare(&mut connection).await {
            Ok(()) => Ok(connection),
            Err(error) => {
                // An error of closing adds nothing to the one at hand.
                let _ = connection.close().await;
                Err(self.with_path(error))
            }
        }
    }

    /// Opens a connection to a file that [`Self::open`] has checked.
    pub(super) async fn reconnect(&self) -> sqlx::Result<SqliteConnection> {
        let mut connection = self.file.connect().await?;
        self.file.configure(&mut connection).await?;
        Ok(connection)
    }

    /// Connections that only read, beside the writer's.
    pub(super) fn readers(&self) -> SqlitePool {
        SqlitePoolOptions::new()
            .max_connections(READERS)
            .acquire_timeout(READER_TIMEOUT)
            .connect_lazy_with(
                self.file
                    .options()
                    .clone()
                    .create_if_missing(false)
                    .read_only(true),
            )
    }

    async fn check_and_prepare(&self, connection: &mut SqliteConnection) -> Result<(), OpenError> {
        let path = || self.file.path().to_owned();
        if let Some(what) = vitalmesh_store::Database::check(connection).await? {
            let path = path();
            return Err(OpenError::Corrupt { path, what });
        }
        let (version, objects) = vitalmesh_store::Database::version(connection).await?;
        match (version, objects) {
            (SCHEMA_VERSION, 1..) => Ok(self.file.configure(connection).await?),
            (0, 0) => {
                self.file.configure(connection).await?;
                create(connection).await
            }
            (found, _) if found > SCHEMA_VERSION => Err(OpenError::Newer {
                path: path(),
                found,
            }),
            _ => Err(OpenError::Foreign { path: path() }),
        }
    }

    /// Turns SQLite's errors about the file into those with its path.
    fn with_path(&self, error: OpenError) -> OpenError {
        let OpenError::Sqlite(cause) = &error else {
            return error;
        };
        let path = self.file.path().to_owned();
        match Damage::of(cause) {
            Some(Damage::Corrupt) => OpenError::Corrupt {
                path,
                what: cause.to_string(),
            },
            Some(Damage::Foreign) => OpenError::Foreign { path },
            None => error,
        }
    }
}

/// Creates the tables and their first books in one transaction.
async fn create(connection: &mut SqliteConnection) -> Result<(), OpenError> {
    let mut transaction = connection.begin_with("BEGIN IMMEDIATE").await?;
    sqlx::raw_sql(SCHEMA).execute(&mut *transaction).await?;
    for draft in seed::books()? {
        insert(draft.book(), &mut transaction).await?;
    }
    Ok(transaction.commit().await?)
}

/// Inserts a book and returns its id.
pub(super) async fn insert(
    book: &CreateBookRequest,
    connection: &mut SqliteConnection,
) -> sqlx::Result<i32> {
    sqlx::query_scalar(
        "INSERT INTO books (author, country, language, link, pages, title, year)
         VALUES (?, ?, ?, ?, ?, ?, ?) RETURNING book_id",
    )
    .bind(&book.author)
    .bind(&book.country)
    .bind(&book.language)
    .bind(&book.link)
    .bind(book.pages)
    .bind(&book.title)
    .bind(book.year)
    .fetch_one(connection)
    .await
}

pub(super) fn book((book_id, author, country, language, link, pages, title, year): Row) -> Book {
    Book {
        book_id,
        author,
        country,
        language,
        link,
        pages,
        title,
        year,
    }
}
