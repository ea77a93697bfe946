//! A store in a folder of its own, its beats, and what its file holds.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use sqlx::sqlite::{SqliteConnectOptions, SqliteConnection};
use sqlx::{ConnectOptions, Connection};
use tempfile::TempDir;
use vitalmesh_edge::{Beat, Store, StoreSettings};
use vitalmesh_store::Limits;

pub(crate) fn folder() -> TempDir {
    tempfile::tempdir().unwrap()
}

pub(crate) async fn open(folder: &TempDir) -> Store {
    open_with(folder, StoreSettings::default()).await
}

pub(crate) async fn open_with(folder: &TempDir, settings: StoreSettings) -> Store {
    Store::open(folder.path(), settings).await.unwrap()
}

/// A store that waits for a lock for 1 ms only.
pub(crate) async fn open_impatient(folder: &TempDir) -> Store {
    let limits = Limits {
        busy_timeout: Duration::from_millis(1),
        ..Limits::default()
    };
    let settings = StoreSettings {
        limits,
        ..StoreSettings::default()
    };
    open_with(folder, settings).await
}

pub(crate) fn beat(service: &str, sequence: i64) -> Beat {
    Beat {
        service: service.to_owned(),
        instance: "one".to_owned(),
        version: "0.1.0".to_owned(),
        started_at: Some("2026-11-21T12:00:00.000001Z".parse().unwrap()),
        interval: Some(Duration::from_millis(1500)),
        sequence,
        vital_signs: Some(vec![9, 0, 0, 0, 0, 0, 0, 240, 63]),
        received_at: "2099-01-01T00:00:00.5Z".parse().unwrap(),
    }
}

pub(crate) fn database(folder: &TempDir) -> PathBuf {
    folder.path().join("heartbeats.db")
}

pub(crate) async fn connect(path: &Path) -> SqliteConnection {
    let options = SqliteConnectOptions::new().filename(path);
    options.connect().await.unwrap()
}

/// Queries the file, not the store.
pub(crate) async fn numbers(path: &Path, query: &'static str) -> Vec<i64> {
    let mut connection = connect(path).await;
    let numbers = sqlx::query_scalar(query).fetch_all(&mut connection).await;
    connection.close().await.unwrap();
    numbers.unwrap()
}

pub(crate) async fn sequences(folder: &TempDir) -> Vec<i64> {
    numbers(&database(folder), "SELECT sequence FROM beats ORDER BY id").await
}

pub(crate) fn names(store: &Store) -> Vec<String> {
    store
        .services()
        .into_iter()
        .map(|status| status.service.clone())
        .collect()
}

/// The databases that were set aside.
pub(crate) fn corrupt(folder: &TempDir) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder.path()).unwrap();
    let paths = entries.map(|entry| entry.unwrap().path());
    paths
        .filter(|path| path.to_string_lossy().contains(".db.corrupt-"))
        .collect()
}
