//! The database file: its schema, its checks, and setting it aside when it is corrupt.

use std::ffi::OsString;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use jiff::Timestamp;
use sqlx::Connection;
use sqlx::sqlite::SqliteConnection;
use vitalmesh_store::{ClaimError, Damage, Limits, Synchronous};

use super::services::{self, Services};

const FILE: &str = "heartbeats.db";
const SCHEMA_VERSION: i64 = 1;
/// Tables and indices in that version.
const SCHEMA_OBJECTS: i64 = 4;

/// The key of a beat has `started_at`, since a restarted process may reuse its instance's name and
/// begins its sequence again.
const SCHEMA: &str = "
BEGIN IMMEDIATE;
CREATE TABLE beats (
    id INTEGER PRIMARY KEY,
    service TEXT NOT NULL,
    instance TEXT NOT NULL,
    version TEXT NOT NULL,
    started_at_us INTEGER,
    interval_ns INTEGER,
    sequence INTEGER NOT NULL,
    vital_signs BLOB,
    received_at_us INTEGER NOT NULL
) STRICT;
CREATE UNIQUE INDEX beats_once ON beats (service, instance, ifnull(started_at_us, 0), sequence)
    WHERE sequence > 0;
CREATE INDEX beats_by_age ON beats (received_at_us);
CREATE TABLE services (
    service TEXT NOT NULL PRIMARY KEY,
    instance TEXT NOT NULL,
    version TEXT NOT NULL,
    started_at_us INTEGER,
    interval_ns INTEGER,
    last_seen_us INTEGER NOT NULL,
    beats INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
PRAGMA user_version = 1;
COMMIT;
";

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
    #[error("{path} is corrupt ({what}); move it away")]
    Corrupt { path: PathBuf, what: String },
    #[error("cannot rename {path}, which is corrupt; move it away")]
    SetAside { path: PathBuf, source: io::Error },
    #[error("cannot open the heartbeat database")]
    Sqlite(#[from] sqlx::Error),
}

// === impl Database ===

impl Database {
    pub(super) fn claim(folder: &Path, limits: Limits) -> Result<Self, OpenError> {
        let file = vitalmesh_store::Database::claim(folder, FILE, limits, Synchronous::Normal)?;
        Ok(Self { file })
    }

    /// Opens a connection, checks the schema or creates it in an empty file, and loads the services.
    pub(super) async fn connect(&self) -> Result<(SqliteConnection, Services), OpenError> {
        let mut connection = self.file.connect().await?;
        let outcome = self.prepare(&mut connection).await;
        self.close_on_error(connection, outcome).await
    }

    /// As `connect`, and checks all pages. Sets a corrupt file aside and starts a new one.
    pub(super) async fn open(&self) -> Result<(SqliteConnection, Services), OpenError> {
        let mut connection = self.file.connect().await?;
        let outcome = self.check_and_prepare(&mut connection).await;
        match self.close_on_error(connection, outcome).await {
            Err(OpenError::Corrupt { what, .. }) => {
                self.set_aside(&what)?;
                self.connect().await
            }
            outcome => outcome,
        }
    }

    async fn check_and_prepare(
        &self,
        connection: &mut SqliteConnection,
    ) -> Result<Services, OpenError> {
        if let Some(what) = vitalmesh_store::Database::check(connection).await? {
            return Err(self.corrupt(what));
        }
        self.prepare(connection).await
    }

    async fn prepare(&self, connection: &mut SqliteConnection) -> Result<Services, OpenError> {
        let (version, objects) = vitalmesh_store::Database::version(connection).await?;
        match (version, objects) {
            (SCHEMA_VERSION, SCHEMA_OBJECTS) => self.file.configure(connection).await?,
            (0, 0) => {
                self.file.configure(connection).await?;
                sqlx::raw_sql(SCHEMA).execute(&mut *connection).await?;
            }
            (found, _) if found > SCHEMA_VERSION => {
                let path = self.file.path().to_owned();
                return Err(OpenError::Newer { path, found });
            }
            _ => return Err(self.corrupt(format!("{objects} tables in version {version}"))),
        }
        Ok(services::load(connection).await?)
    }

    /// Keeps the connection where `outcome` is no error.
    async fn close_on_error(
        &self,
        connection: SqliteConnection,
        outcome: Result<Services, OpenError>,
    ) -> Result<(SqliteConnection, Services), OpenError> {
        let error = match outcome {
            Ok(services) => return Ok((connection, services)),
            Err(OpenError::Sqlite(error)) if is_corruption(&error) => {
                self.corrupt(error.to_string())
            }
            Err(error) => error,
        };
        // An error of closing adds nothing to the one at hand.
        let _ = connection.close().await;
        Err(error)
    }

    fn corrupt(&self, what: String) -> OpenError {
        let path = self.file.path().to_owned();
        OpenError::Corrupt { path, what }
    }

    /// Renames the database and its write-ahead log, so that both can be examined together.
    pub(super) fn set_aside(&self, what: &str) -> Result<(), OpenError> {
        let mut second = Timestamp::now().as_second();
        let mut aside = suffixed(self.file.path(), &format!(".corrupt-{second}"));
        while aside.exists() {
            second += 1;
            aside = suffixed(self.file.path(), &format!(".corrupt-{second}"));
        }
        for part in ["-wal", "-shm", ""] {
            match fs::rename(suffixed(self.file.path(), part), suffixed(&aside, part)) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => {
                    return Err(OpenError::SetAside {
                        path: self.file.path().to_owned(),
                        source: error,
                    });
                }
                _ => {}
            }
        }
        tracing::error!(
            database = %self.file.path().display(),
            renamed_to = %aside.display(),
            what,
            "the heartbeat database is corrupt; starting a fresh one"
        );
        Ok(())
    }
}

/// Whether SQLite reports damage, or a row does not decode.
pub(super) fn is_corruption(error: &sqlx::Error) -> bool {
    match error {
        sqlx::Error::Decode(_) | sqlx::Error::ColumnDecode { .. } => true,
        error => Damage::of(error).is_some(),
    }
}

fn suffixed(path: &Path, suffix: &str) -> PathBuf {
    let mut name = OsString::from(path);
    name.push(suffix);
    name.into()
}
