//! A store of numbers, whose writer fails and panics as told.
#![expect(clippy::unwrap_used, reason = "tests fail by panicking")]

use std::path::Path;
use std::time::Duration;

use sqlx::Connection;
use sqlx::sqlite::SqliteConnection;
use tokio::sync::oneshot;
use vitalmesh_store::{Database, Limits, NoAnswer, Queue, Session, Synchronous, Unwritable, Write};

/// Adds a number, and does something else before its commit.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Then {
    Commit,
    Fail,
    Panic,
}

type Command = (i64, Then, oneshot::Sender<Result<(), Unwritable>>);

struct Numbers(Database);

impl Numbers {
    async fn add(&self, (number, then): (i64, Then), session: &mut Session) -> sqlx::Result<()> {
        let reconnect = async { self.0.connect().await };
        let connection = session.connection(reconnect).await?;
        let mut transaction = connection.begin_with("BEGIN IMMEDIATE").await?;
        sqlx::query("INSERT INTO numbers VALUES (?)")
            .bind(number)
            .execute(&mut *transaction)
            .await?;
        assert_ne!(then, Then::Panic, "on demand");
        if then == Then::Fail {
            return Err(sqlx::Error::RowNotFound);
        }
        transaction.commit().await
    }
}

impl Write for Numbers {
    type Command = Command;

    async fn write(&mut self, batch: Vec<Command>, session: &mut Session) {
        for (number, then, waiter) in batch {
            let outcome = self.add((number, then), session).await;
            let _ = waiter.send(session.settled(outcome).await);
        }
    }
}

fn claim(folder: &Path) -> Database {
    let limits = Limits {
        max_bytes: 1 << 20,
        busy_timeout: Duration::from_secs(1),
    };
    Database::claim(folder, "numbers.db", limits, Synchronous::Normal).unwrap()
}

async fn start(folder: &Path) -> Queue<Command> {
    let database = claim(folder);
    let mut connection = database.connect().await.unwrap();
    database.configure(&mut connection).await.unwrap();
    sqlx::raw_sql("CREATE TABLE numbers (number INTEGER)")
        .execute(&mut connection)
        .await
        .unwrap();
    Queue::start(Numbers(database), Session::new("numbers", connection))
}

async fn stored(folder: &Path) -> Vec<i64> {
    let mut connection: SqliteConnection = claim(folder).connect().await.unwrap();
    sqlx::query_scalar("SELECT number FROM numbers")
        .fetch_all(&mut connection)
        .await
        .unwrap()
}

#[tokio::test]
async fn a_panic_costs_its_batch_and_the_next_is_written() {
    let folder = tempfile::tempdir().unwrap();
    let queue = start(folder.path()).await;
    let add = async |number, then| queue.try_ask(|waiter| (number, then, waiter)).await;

    add(1, Then::Commit).await.unwrap().unwrap();
    // No await lies between the three: one batch.
    let (before, panicked, after) = tokio::join!(
        add(2, Then::Commit),
        add(3, Then::Panic),
        add(4, Then::Commit),
    );
    before.unwrap().unwrap();
    assert_eq!(panicked.unwrap_err(), NoAnswer::Panicked);
    assert_eq!(after.unwrap_err(), NoAnswer::Panicked);
    add(5, Then::Panic).await.unwrap_err();
    add(6, Then::Commit).await.unwrap().unwrap();

    queue.close().await;
    assert_eq!(stored(folder.path()).await, [1, 2, 6]);
}

#[tokio::test]
async fn a_failed_write_is_rolled_back_and_told_and_the_next_is_written() {
    let folder = tempfile::tempdir().unwrap();
    let queue = start(folder.path()).await;
    let add = async |number, then| queue.ask(|waiter| (number, then, waiter)).await;

    let failed = add(1, Then::Fail).await.unwrap().unwrap_err();
    assert_eq!(failed.to_string(), sqlx::Error::RowNotFound.to_string());
    add(2, Then::Commit).await.unwrap().unwrap();
    queue.close().await;
    assert_eq!(add(3, Then::Commit).await.unwrap_err(), NoAnswer::Closed);
    assert_eq!(stored(folder.path()).await, [2]);
}
