//! The schema of the database, and the migration from the one before.

use sqlx::sqlite::SqliteConnection;

pub(super) const VERSION: i64 = 2;
/// Tables and indices in that version.
pub(super) const OBJECTS: i64 = 5;
/// The version before, which knew the last beat of each service and not of its instances.
pub(super) const OLD_VERSION: i64 = 1;
pub(super) const OLD_OBJECTS: i64 = 4;

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
    beats INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE TABLE instances (
    service TEXT NOT NULL,
    instance TEXT NOT NULL,
    version TEXT NOT NULL,
    started_at_us INTEGER,
    interval_ns INTEGER,
    last_seen_us INTEGER NOT NULL,
    beats INTEGER NOT NULL,
    PRIMARY KEY (service, instance)
) STRICT, WITHOUT ROWID;
PRAGMA user_version = 2;
COMMIT;
";

/// The instances are those of the beats in the file: SQLite takes the other columns from the row with
/// the maximum. An instance whose beats were all pruned is known from its service's row.
const MIGRATION: &str = "
BEGIN IMMEDIATE;
CREATE TABLE instances (
    service TEXT NOT NULL,
    instance TEXT NOT NULL,
    version TEXT NOT NULL,
    started_at_us INTEGER,
    interval_ns INTEGER,
    last_seen_us INTEGER NOT NULL,
    beats INTEGER NOT NULL,
    PRIMARY KEY (service, instance)
) STRICT, WITHOUT ROWID;
INSERT INTO instances (service, instance, version, started_at_us, interval_ns, last_seen_us, beats)
    SELECT service, instance, version, started_at_us, interval_ns, max(received_at_us), count(*)
    FROM beats WHERE service IN (SELECT service FROM services) GROUP BY service, instance;
INSERT OR IGNORE INTO instances
        (service, instance, version, started_at_us, interval_ns, last_seen_us, beats)
    SELECT service, instance, version, started_at_us, interval_ns, last_seen_us, beats FROM services;
CREATE TABLE new_services (
    service TEXT NOT NULL PRIMARY KEY,
    beats INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
INSERT INTO new_services SELECT service, beats FROM services;
DROP TABLE services;
ALTER TABLE new_services RENAME TO services;
PRAGMA user_version = 2;
COMMIT;
";

pub(super) async fn create(connection: &mut SqliteConnection) -> sqlx::Result<()> {
    sqlx::raw_sql(SCHEMA).execute(connection).await?;
    Ok(())
}

/// All or nothing: a failure leaves the file as it was.
pub(super) async fn migrate(connection: &mut SqliteConnection) -> sqlx::Result<()> {
    let migrated = sqlx::raw_sql(MIGRATION).execute(&mut *connection).await;
    if migrated.is_err() {
        // Where no transaction is open, this fails; the first error says why.
        let _ = sqlx::raw_sql("ROLLBACK").execute(connection).await;
    }
    migrated.map(drop)
}
