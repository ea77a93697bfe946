//! The database file: one process at a time, checked when opened, seeded when made.

use std::path::{Path, PathBuf};
use std::time::Duration;

use sqlx::sqlite::{SqliteConnectOptions, SqliteConnection, SqlitePool, SqlitePoolOptions};
use sqlx::{AssertSqlSafe, ConnectOptions, Connection};
use vitalmesh_chassis::{ClaimError, DataFile};
use vitalmesh_proto::bookstore::v1::{Book, CreateBookRequest};

use super::StoreSettings;
use super::seed::{self, SeedError};

const FILE: &str = "bookstore.db";
const PAGE_BYTES: u64 = 4096;
const SCHEMA_VERSION: i64 = 1;
const READERS: u32 = 4;
/// How long a read waits for one of them.
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

/// The database file, this process's for as long as this lives.
#[derive(Debug)]
pub(super) struct Database {
    file: DataFile,
    options: SqliteConnectOptions,
    max_pages: u64,
}

#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    #[error(transparent)]
    Claim(#[from] ClaimError),
    #[error("{path} has schema {found} of a newer program; run that one or choose another folder")]
    Newer { path: PathBuf, found: i64 },
    #[error("{path} is not a bookstore's database; move it away or choose another folder")]
    Foreign { path: PathBuf },
    #[error("{path} is corrupt ({what}); restore it from a copy, or move it away to start afresh")]
    Corrupt { path: PathBuf, what: String },
    #[error(transparent)]
    Seed(#[from] SeedError),
    #[error("cannot open the bookstore's database")]
    Sqlite(#[from] sqlx::Error),
}

// === impl Database ===

impl Database {
    pub(super) fn claim(folder: &Path, settings: &StoreSettings) -> Result<Self, OpenError> {
        let file = DataFile::claim(folder, FILE)?;
        let options = SqliteConnectOptions::new()
            .filename(file.path())
            .create_if_missing(true)
            .busy_timeout(settings.busy_timeout)
            // What fails is logged once a change, by the writer.
            .disable_statement_logging();
        Ok(Self {
            file,
            options,
            max_pages: settings.max_bytes / PAGE_BYTES,
        })
    }

    /// Connects after a check of all pages. Books are never set aside: a corrupt file is an error.
    pub(super) async fn open(&self) -> Result<SqliteConnection, OpenError> {
        let mut connection = self.options.connect().await?;
        match self.check_and_prepare(&mut connection).await {
            Ok(()) => Ok(connection),
            Err(error) => {
                // The error at hand says more than one of closing.
                let _ = connection.close().await;
                Err(self.named(error))
            }
        }
    }

    /// Connects again to what was open before.
    pub(super) async fn reconnect(&self) -> sqlx::Result<SqliteConnection> {
        let mut connection = self.options.connect().await?;
        self.configure(&mut connection).await?;
        Ok(connection)
    }

    /// Connections that read while the writer writes.
    pub(super) fn readers(&self) -> SqlitePool {
        SqlitePoolOptions::new()
            .max_connections(READERS)
            .acquire_timeout(READER_TIMEOUT)
            .connect_lazy_with(
                self.options
                    .clone()
                    .create_if_missing(false)
                    .read_only(true),
            )
    }

    async fn check_and_prepare(&self, connection: &mut SqliteConnection) -> Result<(), OpenError> {
        let check: String = sqlx::query_scalar("PRAGMA quick_check(1)")
            .fetch_one(&mut *connection)
            .await?;
        let path = || self.file.path().to_owned();
        if check != "ok" {
            let (path, what) = (path(), check);
            return Err(OpenError::Corrupt { path, what });
        }
        let (version, objects): (i64, i64) = sqlx::query_as(
            "SELECT user_version, (SELECT count(*) FROM sqlite_schema) FROM pragma_user_version",
        )
        .fetch_one(&mut *connection)
        .await?;
        match (version, objects) {
            (SCHEMA_VERSION, 1..) => Ok(self.configure(connection).await?),
            (0, 0) => {
                self.configure(connection).await?;
                create(connection).await
            }
            (found, _) if found > SCHEMA_VERSION => Err(OpenError::Newer {
                path: path(),
                found,
            }),
            _ => Err(OpenError::Foreign { path: path() }),
        }
    }

    async fn configure(&self, connection: &mut SqliteConnection) -> sqlx::Result<()> {
        let max_pages = self.max_pages;
        let limit = AssertSqlSafe(format!("PRAGMA max_page_count = {max_pages}"));
        sqlx::raw_sql("PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL;")
            .execute(&mut *connection)
            .await?;
        sqlx::raw_sql(limit).execute(connection).await?;
        Ok(())
    }

    /// SQLITE_CORRUPT and SQLITE_NOTADB, in their extended forms too, with the file's name.
    fn named(&self, error: OpenError) -> OpenError {
        let OpenError::Sqlite(sqlx::Error::Database(database)) = &error else {
            return error;
        };
        let code = database.code().and_then(|code| code.parse::<u32>().ok());
        let path = self.file.path().to_owned();
        match code.map(|code| code & 0xff) {
            Some(11) => OpenError::Corrupt {
                path,
                what: database.message().to_owned(),
            },
            Some(26) => OpenError::Foreign { path },
            _ => error,
        }
    }
}

/// Makes the tables and their first books, all of it or nothing.
async fn create(connection: &mut SqliteConnection) -> Result<(), OpenError> {
    let mut transaction = connection.begin_with("BEGIN IMMEDIATE").await?;
    sqlx::raw_sql(SCHEMA).execute(&mut *transaction).await?;
    for draft in seed::books()? {
        insert(draft.book(), &mut transaction).await?;
    }
    Ok(transaction.commit().await?)
}

/// Adds a book and gives its id.
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
