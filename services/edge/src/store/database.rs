//! The database file: its schema, its checks, and setting it aside when it is corrupt.

use std::ffi::OsString;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use jiff::Timestamp;
use sqlx::Connection;
use sqlx::sqlite::SqliteConnection;
use vitalmesh_store::{ClaimError, Damage, Synchronous};

use super::StoreSettings;
use super::schema::{self, OBJECTS, OLD_OBJECTS, OLD_VERSION, VERSION};
use super::services::{self, Services};

const FILE: &str = "heartbeats.db";

#[derive(Debug)]
pub(super) struct Database {
    file: vitalmesh_store::Database,
    /// Instances of a service that are loaded, the newest first.
    max_instances: usize,
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
    pub(super) fn claim(folder: &Path, settings: &StoreSettings) -> Result<Self, OpenError> {
        let (limits, max_instances) = (settings.limits, settings.max_instances);
        let file = vitalmesh_store::Database::claim(folder, FILE, limits, Synchronous::Normal)?;
        Ok(Self {
            file,
            max_instances,
        })
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
            (VERSION, OBJECTS) => self.file.configure(connection).await?,
            (OLD_VERSION, OLD_OBJECTS) => {
                self.file.configure(connection).await?;
                schema::migrate(connection).await?;
                let database = self.file.path().display();
                tracing::info!(%database, "heartbeat database migrated: it knows instances now");
            }
            (0, 0) => {
                self.file.configure(connection).await?;
                schema::create(connection).await?;
            }
            (found, _) if found > VERSION => {
                let path = self.file.path().to_owned();
                return Err(OpenError::Newer { path, found });
            }
            _ => return Err(self.corrupt(format!("{objects} tables in version {version}"))),
        }
        Ok(services::load(self.max_instances, connection).await?)
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
