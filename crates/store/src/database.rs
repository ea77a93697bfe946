//! The database file: claimed, connected to, and looked at before it is trusted.

use std::fmt;
use std::path::Path;
use std::time::Duration;

use sqlx::sqlite::{SqliteConnectOptions, SqliteConnection};
use sqlx::{AssertSqlSafe, ConnectOptions};

use crate::claim::{Claim, ClaimError};

const PAGE_BYTES: u64 = 4096;

/// A database file, this process's for as long as this lives.
#[derive(Debug)]
pub struct Database {
    claim: Claim,
    options: SqliteConnectOptions,
    limits: Limits,
    synchronous: Synchronous,
}

/// What a database may take.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// The file never grows beyond this; writes fail instead.
    pub max_bytes: u64,
    /// How long a statement waits while another program locks the database.
    pub busy_timeout: Duration,
}

/// SQLite's setting of this name.
#[derive(Clone, Copy, Debug)]
pub enum Synchronous {
    /// A commit is on the disk: it outlives a power cut.
    Full,
    /// A commit is with the system: it outlives the process, but maybe not a power cut.
    Normal,
}

/// What SQLite finds a file to be that it cannot use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Damage {
    /// A database that is damaged.
    Corrupt,
    /// No database at all.
    Foreign,
}

// === impl Database ===

impl Database {
    /// Claims `name` in `folder`, which is made if it is missing; the file is by [`Self::connect`].
    ///
    /// # Errors
    ///
    /// Where the folder cannot be written, or another process has the file.
    pub fn claim(
        folder: &Path,
        name: &str,
        limits: Limits,
        synchronous: Synchronous,
    ) -> Result<Self, ClaimError> {
        let claim = Claim::of(folder, name)?;
        let options = SqliteConnectOptions::new()
            .filename(claim.path())
            .create_if_missing(true)
            .busy_timeout(limits.busy_timeout)
            // What fails is logged once a change, by the session.
            .disable_statement_logging();
        Ok(Self {
            claim,
            options,
            limits,
            synchronous,
        })
    }

    /// Where the file is.
    pub fn path(&self) -> &Path {
        self.claim.path()
    }

    /// How connections are opened, for those that only read.
    pub const fn options(&self) -> &SqliteConnectOptions {
        &self.options
    }

    /// Connects without a look at the file, which may be none of SQLite's.
    ///
    /// # Errors
    ///
    /// Where SQLite cannot open the file.
    pub async fn connect(&self) -> sqlx::Result<SqliteConnection> {
        self.options.connect().await
    }

    /// Prepares a connection for writing.
    ///
    /// Not among the options of the connection: those that fail leave it closing behind our back,
    /// and SQLite would then delete the write-ahead log of the database that took its place.
    ///
    /// # Errors
    ///
    /// What SQLite says.
    pub async fn configure(&self, connection: &mut SqliteConnection) -> sqlx::Result<()> {
        let (synchronous, pages) = (self.synchronous, self.limits.max_bytes / PAGE_BYTES);
        let settings = AssertSqlSafe(format!(
            "PRAGMA journal_mode = WAL; PRAGMA synchronous = {synchronous}; \
             PRAGMA max_page_count = {pages};"
        ));
        sqlx::raw_sql(settings).execute(connection).await?;
        Ok(())
    }

    /// Checks all pages; what is wrong with the first that is wrong.
    ///
    /// # Errors
    ///
    /// What SQLite says where it cannot check them.
    pub async fn check(connection: &mut SqliteConnection) -> sqlx::Result<Option<String>> {
        let check: String = sqlx::query_scalar("PRAGMA quick_check(1)")
            .fetch_one(connection)
            .await?;
        Ok(Some(check).filter(|check| check != "ok"))
    }

    /// The `user_version`, and how many tables and indices there are: both 0 in a new file.
    ///
    /// # Errors
    ///
    /// What SQLite says.
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
    /// 1 GiB, 1 s.
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
    /// SQLITE_CORRUPT and SQLITE_NOTADB, in their extended forms too.
    pub fn of(error: &sqlx::Error) -> Option<Self> {
        let code = error.as_database_error()?.code()?.parse::<u32>().ok()?;
        match code & 0xff {
            11 => Some(Self::Corrupt),
            26 => Some(Self::Foreign),
            _ => None,
        }
    }
}
