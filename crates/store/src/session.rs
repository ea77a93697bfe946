//! The writer's connection: given up after a failure, and opened again by the next write.

use std::error::Error;
use std::sync::Arc;

use sqlx::Connection;
use sqlx::sqlite::SqliteConnection;

/// Why a write failed, for all who waited for it.
pub type Unwritable = Arc<dyn Error + Send + Sync>;

/// The connection, and whether writes through it go well.
#[derive(Debug)]
pub struct Session {
    /// What is written, in the plural, for the log.
    what: &'static str,
    connection: Option<SqliteConnection>,
    is_failing: bool,
}

#[derive(Debug, thiserror::Error)]
#[error("the writer panicked; what it had not committed is rolled back")]
struct Panicked;

// === impl Session ===

impl Session {
    /// The log says of `what` that they are stored or not: "books".
    pub const fn new(what: &'static str, connection: SqliteConnection) -> Self {
        Self {
            what,
            connection: Some(connection),
            is_failing: false,
        }
    }

    /// The connection; `reconnect` makes it where a failure left none.
    ///
    /// # Errors
    ///
    /// What `reconnect` says.
    pub async fn connection<E>(
        &mut self,
        reconnect: impl Future<Output = Result<SqliteConnection, E>>,
    ) -> Result<&mut SqliteConnection, E> {
        let connection = match self.connection.take() {
            Some(connection) => connection,
            None => reconnect.await?,
        };
        Ok(self.connection.insert(connection))
    }

    /// Logs when writes begin to fail and when they work again. A failed one ends the connection,
    /// and what it had not committed.
    ///
    /// # Errors
    ///
    /// That of `outcome`.
    pub async fn settled<T, E>(&mut self, outcome: Result<T, E>) -> Result<T, Unwritable>
    where
        E: Error + Send + Sync + 'static,
    {
        match outcome {
            Ok(value) => {
                if std::mem::take(&mut self.is_failing) {
                    tracing::info!("{} are stored again", self.what);
                }
                Ok(value)
            }
            Err(error) => {
                self.fails(&error);
                if let Some(connection) = self.connection.take() {
                    // The error at hand says more than one of closing.
                    let _ = connection.close().await;
                }
                Err(Arc::new(error))
            }
        }
    }

    /// Leaves the connection to close by itself: in which state a panic left it is not known.
    pub(crate) fn panicked(&mut self) {
        self.fails(&Panicked);
        self.connection = None;
    }

    /// The last connection to close moves the write-ahead log into the database.
    pub(crate) async fn close(&mut self) {
        if let Some(connection) = self.connection.take()
            && let Err(error) = connection.close().await
        {
            tracing::error!(%error, "cannot close the database of {}", self.what);
        }
    }

    fn fails(&mut self, error: &(dyn Error + 'static)) {
        if !std::mem::replace(&mut self.is_failing, true) {
            tracing::error!(error, "{} cannot be stored", self.what);
        }
    }
}
