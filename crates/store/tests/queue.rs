//! A store of numbers, whose writer fails and panics on demand.
#![expect(clippy::unwrap_used, reason = "tests fail by panicking")]

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use futures_util::future::join_all;
use sqlx::Connection;
use sqlx::sqlite::SqliteConnection;
use vitalmesh_store::{Database, Limits, QUEUE_CAPACITY, Queue, SubmitError, Synchronous, Writer};

/// A number to insert, and what happens before the commit.
type Command = (i64, Then);

#[derive(Clone, Copy, Debug, PartialEq)]
enum Then {
    Commit,
    Fail,
    Panic,
}

#[derive(Debug)]
struct Numbers {
    database: Database,
    /// How often the writer has connected again.
    reconnects: Arc<AtomicU32>,
}

impl Writer for Numbers {
    type Command = Command;
    /// How many numbers shared the transaction.
    type Response = usize;
    type Error = sqlx::Error;

    async fn connect(&mut self) -> sqlx::Result<SqliteConnection> {
        self.reconnects.fetch_add(1, Ordering::Relaxed);
        self.database.connect().await
    }

    async fn write(
        &mut self,
        commands: &[Command],
        connection: &mut SqliteConnection,
    ) -> sqlx::Result<Vec<usize>> {
        let mut transaction = connection.begin_with("BEGIN IMMEDIATE").await?;
        for (number, then) in commands {
            sqlx::query("INSERT INTO numbers VALUES (?)")
                .bind(number)
                .execute(&mut *transaction)
                .await?;
            assert_ne!(*then, Then::Panic, "on demand");
            if *then == Then::Fail {
                return Err(sqlx::Error::RowNotFound);
            }
        }
        transaction.commit().await?;
        Ok(vec![commands.len(); commands.len()])
    }
}

fn claim(folder: &Path) -> Database {
    let limits = Limits {
        max_bytes: 1 << 20,
        ..Limits::default()
    };
    Database::claim(folder, "numbers.db", limits, Synchronous::Normal).unwrap()
}

async fn start(folder: &Path) -> Queue<Numbers> {
    start_and_count(folder).await.0
}

/// A store, and how often its writer has connected again.
async fn start_and_count(folder: &Path) -> (Queue<Numbers>, Arc<AtomicU32>) {
    let database = claim(folder);
    let mut connection = database.connect().await.unwrap();
    database.configure(&mut connection).await.unwrap();
    sqlx::raw_sql("CREATE TABLE numbers (number INTEGER)")
        .execute(&mut connection)
        .await
        .unwrap();
    let reconnects = Arc::new(AtomicU32::new(0));
    let writer = Numbers {
        database,
        reconnects: Arc::clone(&reconnects),
    };
    (Queue::start("numbers", writer, connection), reconnects)
}

/// The numbers in the file of a closed store.
async fn stored(folder: &Path) -> Vec<i64> {
    let mut connection: SqliteConnection = claim(folder).connect().await.unwrap();
    sqlx::query_scalar("SELECT number FROM numbers")
        .fetch_all(&mut connection)
        .await
        .unwrap()
}

#[track_caller]
fn assert_failed(error: &SubmitError) {
    let SubmitError::Failed(cause) = error else {
        panic!("{error:?}");
    };
    assert_eq!(cause.to_string(), sqlx::Error::RowNotFound.to_string());
}

#[tokio::test]
async fn a_panic_rolls_its_batch_back_and_the_next_is_committed_on_another_connection() {
    let folder = tempfile::tempdir().unwrap();
    let (queue, reconnects) = start_and_count(folder.path()).await;

    queue.submit((1, Then::Commit)).await.unwrap();
    // No await lies between the three: one batch.
    let batch = [(2, Then::Commit), (3, Then::Panic), (4, Then::Commit)];
    for response in join_all(batch.map(|command| queue.submit(command))).await {
        let error = response.unwrap_err();
        assert!(matches!(error, SubmitError::Panicked), "{error:?}");
    }
    queue.submit((5, Then::Panic)).await.unwrap_err();
    assert_eq!(reconnects.load(Ordering::Relaxed), 1);
    queue.submit((6, Then::Commit)).await.unwrap();
    queue.submit((7, Then::Commit)).await.unwrap();
    assert_eq!(reconnects.load(Ordering::Relaxed), 2);

    queue.close().await;
    assert_eq!(stored(folder.path()).await, [1, 6, 7]);
}

#[tokio::test]
async fn a_failed_batch_has_its_cause_and_the_next_is_committed_on_another_connection() {
    let folder = tempfile::tempdir().unwrap();
    let (queue, reconnects) = start_and_count(folder.path()).await;

    let batch = [(1, Then::Commit), (2, Then::Fail), (3, Then::Commit)];
    for response in join_all(batch.map(|command| queue.submit(command))).await {
        assert_failed(&response.unwrap_err());
    }
    queue.submit((4, Then::Commit)).await.unwrap();
    assert_eq!(reconnects.load(Ordering::Relaxed), 1);
    queue.close().await;
    let error = queue.submit((5, Then::Commit)).await.unwrap_err();
    assert!(matches!(error, SubmitError::Closed), "{error:?}");
    let error = queue.submit_alone((6, Then::Commit)).await.unwrap_err();
    assert!(matches!(error, SubmitError::Closed), "{error:?}");
    assert_eq!(stored(folder.path()).await, [4]);
}

#[tokio::test]
async fn a_command_alone_neither_fails_with_a_batch_nor_fails_it() {
    let folder = tempfile::tempdir().unwrap();
    let queue = start(folder.path()).await;

    let (batch, alone) = tokio::join!(
        queue.submit((1, Then::Panic)),
        queue.submit_alone((2, Then::Commit)),
    );
    assert!(matches!(batch, Err(SubmitError::Panicked)), "{batch:?}");
    assert_eq!(alone.unwrap(), 1);
    let (alone, batch, another) = tokio::join!(
        queue.submit_alone((3, Then::Fail)),
        queue.submit((4, Then::Commit)),
        queue.submit((5, Then::Commit)),
    );
    assert_failed(&alone.unwrap_err());
    assert_eq!((batch.unwrap(), another.unwrap()), (2, 2));

    queue.close().await;
    assert_eq!(stored(folder.path()).await, [2, 4, 5]);
}

#[tokio::test]
async fn a_full_queue_rejects_a_command_and_keeps_one_alone_waiting() {
    let folder = tempfile::tempdir().unwrap();
    let queue = start(folder.path()).await;
    let commands = (1..=QUEUE_CAPACITY as i64).map(|number| queue.submit((number, Then::Commit)));

    let (queued, rejected, alone) = tokio::join!(
        join_all(commands),
        queue.submit((-1, Then::Commit)),
        queue.submit_alone((0, Then::Commit)),
    );

    assert_eq!(queued.iter().flatten().max(), Some(&256));
    assert!(queued.iter().all(Result::is_ok));
    assert!(matches!(rejected, Err(SubmitError::Full)), "{rejected:?}");
    assert_eq!(alone.unwrap(), 1);
    queue.close().await;
    let expected: Vec<_> = (1..=1024).chain([0]).collect();
    assert_eq!(stored(folder.path()).await, expected);
}

#[tokio::test]
async fn a_command_whose_caller_has_gone_is_committed() {
    let folder = tempfile::tempdir().unwrap();
    let queue = start(folder.path()).await;
    let mut abandoned = Box::pin(queue.submit((1, Then::Commit)));
    assert!(futures_util::poll!(&mut abandoned).is_pending());
    drop(abandoned);

    assert_eq!(queue.submit((2, Then::Commit)).await.unwrap(), 2);

    queue.close().await;
    assert_eq!(stored(folder.path()).await, [1, 2]);
}
