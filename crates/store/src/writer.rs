//! The part of the writing task that each service implements.

use std::error::Error;

use sqlx::sqlite::SqliteConnection;

/// Applies commands to a service's file. One task owns it, so it never runs concurrently.
pub trait Writer: Send + 'static {
    /// A change to the file.
    type Command: Send + Sync + 'static;
    /// The response to one command.
    type Response: Send + 'static;
    /// Why a connection could not be opened or a transaction failed.
    type Error: Error + Send + Sync + 'static;

    /// Opens the connection of the next transaction, after a failure has closed the last one.
    ///
    /// # Errors
    ///
    /// Fails the commands that wait for the connection; the next transaction connects again.
    fn connect(&mut self) -> impl Future<Output = Result<SqliteConnection, Self::Error>> + Send;

    /// Applies `commands` in one transaction and returns their responses, in the same order, after
    /// its commit.
    ///
    /// State that outlives the call may change after the commit only: an error or a panic before it
    /// rolls the file back, and the writer goes on with the next transaction.
    ///
    /// # Errors
    ///
    /// Fails all of `commands`, and closes `connection`.
    fn write(
        &mut self,
        commands: &[Self::Command],
        connection: &mut SqliteConnection,
    ) -> impl Future<Output = Result<Vec<Self::Response>, Self::Error>> + Send;
}
