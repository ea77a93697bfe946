//! A claimed database file: its connections, its limits, and checks of its content.

use std::fmt;
use std::path::Path;
use std::time::Duration;

use sqlx::sqlite::{SqliteConnectOptions, SqliteConnection};
use sqlx::{AssertSqlSafe, ConnectOptions};

use crate::claim::{Claim, ClaimError};

const PAGE_BYTES: u64 = 4096;

/// A database file that no other process can claim until this is dropped.
#[derive(Debug)]
pub struct Database {
    claim: Claim,
    options: SqliteConnectOptions,
    limits: Limits,
    synchronous: Synchronous,
}

/// Limits of a database.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Size of the file; writes that would exceed it fail. Rounded down to pages of 4 KiB.
    pub max_bytes: u64,
    /// How long a statement waits for another connection's lock before it fails.
    pub busy_timeout: Duration,
}

/// SQLite's `synchronous` setting: when a commit is durable.
#[derive(Clone, Copy, Debug)]
pub enum Synchronous {
    /// A commit is synced to the disk: it survives a power loss.
    Full,
    /// A commit is passed to the system: it survives the process, but a power loss can undo it.
    Normal,
}

/// Why SQLite cannot use a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Damage {
    /// The database is damaged.
    Corrupt,
    /// The file is not a database.
    Foreign,
}

// === impl Database ===

impl Database {
    /// Claims the file `name` in `folder`. Creates the folder if it is missing; [`Self::connect`]
    /// creates the file.
    ///
    /// # Errors
    ///
    /// The folder cannot be written, or another process has claimed the file.
    pub fn claim(
        folder: &Path,
        name: &str,
        limits: Limits,
        synchronous: Synchronous,
    ) -> Result<Self, ClaimError> {
        let claim = Claim::new(folder, name)?;
        let options = SqliteConnectOptions::new()
            .filename(claim.path())
            .create_if_missing(true)
            .busy_timeout(limits.busy_timeout)
            // The writer's task logs a failure, once.
            .disable_statement_logging();
        Ok(Self {
            claim,
            options,
            limits,
            synchronous,
        })
    }

    /// The path of the file.
    pub fn path(&self) -> &Path {
        self.claim.path()
    }

    /// The options of [`Self::connect`], for further connections that only read.
    pub const fn options(&self) -> &SqliteConnectOptions {
        &self.options
    }

    /// Opens a connection. It reads nothing of the file, which may be damaged or not a database:
    /// call [`Self::check`] and [`Self::version`], and then [`Self::configure`].
    ///
    /// # Errors
    ///
    /// SQLite cannot open the file.
    pub async fn connect(&self) -> sqlx::Result<SqliteConnection> {
        self.options.connect().await
    }

    /// Prepares a connection for writing: write-ahead log, `synchronous`, and the limit of size.
    ///
    /// These are not options of the connection: where one of those fails, the connection closes in
    /// the background, and SQLite would delete the write-ahead log of a database that has taken the
    /// file's place by then.
    ///
    /// # Errors
    ///
    /// Those of SQLite.
    pub async fn configure(&self, connection: &mut SqliteConnection) -> sqlx::Result<()> {
        let (synchronous, pages) = (self.synchronous, self.limits.max_bytes / PAGE_BYTES);
        let settings = AssertSqlSafe(format!(
            "PRAGMA journal_mode = WAL; PRAGMA synchronous = {synchronous}; \
             PRAGMA max_page_count = {pages};"
        ));
        sqlx::raw_sql(settings).execute(connection).await?;
        Ok(())
    }

    /// Checks all pages, and returns the first defect.
    ///
    /// # Errors
    ///
    /// SQLite cannot run the check.
    pub async fn check(connection: &mut SqliteConnection) -> sqlx::Result<Option<String>> {
        let check: String = sqlx::query_scalar("PRAGMA quick_check(1)")
            .fetch_one(connection)
            .await?;
        Ok(Some(check).filter(|check| check != "ok"))
    }

    /// The `user_version` and the number of tables and indices. Both are 0 in a new file.
    ///
    /// # Errors
    ///
    /// Those of SQLite.
    pub async fn version(connection: &mut SqliteConnection) -> sqlx::Result<(i64, i64)> {
        sqlx::query_as(
            "SELECT user_version, (SELECT count(*) FROM sqlite_schema) FROM pragma_user_version",
        )
        .fetch_one(connection)
        .await
    }
}

// === impl Limits ===

impl Default for Limits {
    /// 1 GiB and 1 s.
    fn default() -> Self {
        Self {
            max_bytes: 1 << 30,
            busy_timeout: Duration::from_secs(1),
        }
    }
}

// === impl Synchronous ===

impl fmt::Display for Synchronous {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Full => "FULL",
            Self::Normal => "NORMAL",
        })
    }
}

// === impl Damage ===

impl Damage {
    /// The damage behind SQLITE_CORRUPT and SQLITE_NOTADB, also in their extended forms, and behind a
    /// schema format that no SQLite writes, for which SQLite has only the generic SQLITE_ERROR.
    pub fn of(error: &sqlx::Error) -> Option<Self> {
        let error = error.as_database_error()?;
        match error.code()?.parse::<u32>().ok()? & 0xff {
            1 if error.message() == "unsupported file format" => Some(Self::Corrupt),
            11 => Some(Self::Corrupt),
            26 => Some(Self::Foreign),
            _ => None,
        }
    }
}
