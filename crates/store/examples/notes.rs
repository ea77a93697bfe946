//! A store of notes: `cargo run --package vitalmesh-store --example notes`.

use std::error::Error;

use sqlx::Connection;
use sqlx::sqlite::SqliteConnection;
use vitalmesh_store::{Database, Limits, Queue, Synchronous, Writer};

/// Inserts notes, and responds with their numbers.
struct NoteWriter {
    database: Database,
}

// === impl NoteWriter ===

impl Writer for NoteWriter {
    type Command = String;
    type Response = i64;
    type Error = sqlx::Error;

    async fn connect(&mut self) -> sqlx::Result<SqliteConnection> {
        let mut connection = self.database.connect().await?;
        self.database.configure(&mut connection).await?;
        Ok(connection)
    }

    async fn write(
        &mut self,
        notes: &[String],
        connection: &mut SqliteConnection,
    ) -> sqlx::Result<Vec<i64>> {
        let mut transaction = connection.begin_with("BEGIN IMMEDIATE").await?;
        let mut numbers = Vec::with_capacity(notes.len());
        for note in notes {
            let insert = sqlx::query("INSERT INTO notes (note) VALUES (?)").bind(note);
            let inserted = insert.execute(&mut *transaction).await?;
            numbers.push(inserted.last_insert_rowid());
        }
        transaction.commit().await?;
        Ok(numbers)
    }
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn Error>> {
    let folder = tempfile::tempdir()?;
    let limits = Limits::default();
    let database = Database::claim(folder.path(), "notes.db", limits, Synchronous::Full)?;
    let mut writer = NoteWriter { database };
    let mut connection = writer.connect().await?;
    sqlx::raw_sql("CREATE TABLE IF NOT EXISTS notes (number INTEGER PRIMARY KEY, note TEXT)")
        .execute(&mut connection)
        .await?;
    let queue = Queue::start("notes", writer, connection);

    // Both wait at the same time, so they share a transaction.
    let (first, second) = tokio::try_join!(
        queue.submit("buy bread".to_owned()),
        queue.submit("call Ana".to_owned()),
    )?;
    println!("notes {first} and {second} are on the disk");
    queue.close().await;
    Ok(())
}
