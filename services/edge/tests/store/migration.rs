//! A file of the version before, which knew one beat of each service.

use std::time::Duration;

use jiff::Timestamp;
use sqlx::Connection;
use tempfile::TempDir;

use crate::fixture::{beat, connect, corrupt, database, folder, names, numbers, open, sequences};

/// Schema 1, as that version created it.
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

/// Two instances of time in turn, a sender that says its name alone, and a service whose beats were
/// pruned for their number.
const CONTENT: &str = "
INSERT INTO beats VALUES
    (1, 'time', 'host-a', '0.1.0', 1000000, 10000000000, 1, NULL, 2000000),
    (2, 'time', 'host-b', '0.1.0', 1500000, 60000000000, 1, x'00', 2500000),
    (3, 'time', 'host-a', '0.2.0', 1000000, 10000000000, 2, NULL, 12000000),
    (4, 'time', 'host-b', '0.1.0', 1500000, 60000000000, 2, NULL, 62500000),
    (5, 'old', '', '', NULL, NULL, 0, NULL, 3000000);
INSERT INTO services VALUES
    ('time', 'host-b', '0.1.0', 1500000, 60000000000, 62500000, 40),
    ('old', '', '', NULL, NULL, 3000000, 1),
    ('pruned', 'host-c', '0.1.0', 1000000, NULL, 1000000, 7);
";

async fn old_file() -> TempDir {
    let folder = folder();
    let options = sqlx::sqlite::SqliteConnectOptions::new()
        .filename(database(&folder))
        .create_if_missing(true)
        .journal_mode(sqlx::sqlite::SqliteJournalMode::Wal);
    let mut connection = sqlx::SqliteConnection::connect_with(&options)
        .await
        .unwrap();
    for part in [SCHEMA, CONTENT] {
        sqlx::raw_sql(part).execute(&mut connection).await.unwrap();
    }
    connection.close().await.unwrap();
    folder
}

#[tokio::test]
async fn an_old_file_is_migrated_with_every_instance_of_its_beats() {
    let folder = old_file().await;
    for _ in 0..2 {
        let store = open(&folder).await;
        assert_eq!(names(&store), ["old", "pruned", "time"]);
        let services = store.services();
        let sums: Vec<_> = services.iter().map(|status| status.beats).collect();
        assert_eq!(sums, [1, 7, 40]);
        let found: Vec<_> = services
            .iter()
            .flat_map(|status| status.instances.values())
            .map(|it| {
                (
                    it.instance.as_str(),
                    it.version.as_str(),
                    it.started_at.map(Timestamp::as_microsecond),
                    it.interval.map(|interval| interval.as_secs()),
                    it.last_seen.as_microsecond(),
                    it.beats,
                )
            })
            .collect();
        assert_eq!(
            found,
            [
                ("", "", None, None, 3_000_000, 1),
                ("host-c", "0.1.0", Some(1_000_000), None, 1_000_000, 7),
                ("host-a", "0.2.0", Some(1_000_000), Some(10), 12_000_000, 2),
                ("host-b", "0.1.0", Some(1_500_000), Some(60), 62_500_000, 2),
            ]
        );
        store.close().await;
    }
    assert_eq!(
        numbers(&database(&folder), "PRAGMA user_version").await,
        [2]
    );
    assert_eq!(corrupt(&folder).len(), 0);
    assert_eq!(sequences(&folder).await, [1, 1, 2, 2, 0]);
}

#[tokio::test]
async fn a_migrated_file_stores_beats_and_prunes_them() {
    let folder = old_file().await;
    let store = open(&folder).await;
    store.beat(beat("time", 7)).await.unwrap();
    let time = store.services().pop().unwrap();
    assert_eq!((time.beats, time.instances.len()), (41, 3));
    assert_eq!(
        time.newest().unwrap().interval,
        Some(Duration::from_millis(1500))
    );
    assert_eq!(store.prune().await.unwrap(), 5);
    assert_eq!(names(&store), ["time"]);
    assert_eq!(sequences(&folder).await, [7]);
}

#[tokio::test]
async fn a_migrated_file_has_the_schema_of_a_new_one() {
    let schema = async |folder: &TempDir| -> Vec<(String, String)> {
        open(folder).await.close().await;
        let mut connection = connect(&database(folder)).await;
        let query = "SELECT name, replace(sql, '\"', '') FROM sqlite_schema ORDER BY name";
        let schema = sqlx::query_as(query).fetch_all(&mut connection).await;
        connection.close().await.unwrap();
        schema.unwrap()
    };
    let (migrated, new) = (old_file().await, folder());
    assert_eq!(schema(&migrated).await, schema(&new).await);
}

#[tokio::test]
async fn a_damaged_old_file_is_set_aside() {
    for damage in ["DROP TABLE services", "DROP INDEX beats_by_age"] {
        let folder = old_file().await;
        let mut connection = connect(&database(&folder)).await;
        let damaged = sqlx::raw_sql(damage).execute(&mut connection).await;
        damaged.unwrap();
        connection.close().await.unwrap();
        let store = open(&folder).await;
        store.beat(beat("time", 1)).await.unwrap();
        assert_eq!(corrupt(&folder).len(), 1, "{damage}");
    }
}
