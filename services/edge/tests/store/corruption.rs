//! A damaged file is set aside, whichever bytes are damaged and whenever it is found.

use std::fs;

use futures_util::future::join_all;
use jiff::Timestamp;
use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;
use proptest::sample::Index;
use sqlx::Connection;
use tempfile::TempDir;
use vitalmesh_edge::StoreError;

use crate::fixture::{beat, connect, corrupt, database, folder, open, open_impatient, sequences};

#[tokio::test]
async fn a_corrupt_database_is_set_aside_and_a_new_one_stores_beats() {
    for damage in [damaged_page, damaged_header, truncated] {
        let folder = folder();
        let store = open(&folder).await;
        let beats = (1..=500).map(|sequence| store.beat(beat("time", sequence)));
        assert!(join_all(beats).await.iter().all(Result::is_ok));
        store.close().await;
        let damaged = damage(fs::read(database(&folder)).unwrap());
        fs::write(database(&folder), &damaged).unwrap();

        let store = open(&folder).await;

        assert!(store.services().is_empty());
        store.beat(beat("revert-name", 1)).await.unwrap();
        assert_eq!(sequences(&folder).await, [1]);
        let aside = corrupt(&folder);
        assert_eq!(aside.len(), 1, "{aside:?}");
        let name = aside[0].file_name().unwrap().to_string_lossy().into_owned();
        let second: i64 = name
            .strip_prefix("heartbeats.db.corrupt-")
            .unwrap()
            .parse()
            .unwrap();
        assert!((Timestamp::now().as_second() - second).abs() < 60, "{name}");
        assert_eq!(fs::read(&aside[0]).unwrap(), damaged);
    }
}

fn damaged_page(mut database: Vec<u8>) -> Vec<u8> {
    database[4096..8192].fill(0xa5);
    database
}

fn damaged_header(mut database: Vec<u8>) -> Vec<u8> {
    database[..100].fill(0xa5);
    database
}

fn truncated(mut database: Vec<u8>) -> Vec<u8> {
    database.truncate(3 * 4096);
    database
}

#[tokio::test]
async fn a_database_with_another_schema_or_undecodable_rows_is_set_aside() {
    for damage in [
        "DROP TABLE services",
        "DROP TABLE instances",
        "DROP INDEX beats_by_age",
        "PRAGMA user_version = 0",
        "PRAGMA user_version = 1",
        "PRAGMA user_version = -1",
        "UPDATE instances SET last_seen_us = 9223372036854775807",
        "UPDATE instances SET instance = CAST(x'ff' AS TEXT)",
    ] {
        let folder = folder();
        let store = open(&folder).await;
        store.beat(beat("time", 1)).await.unwrap();
        store.close().await;
        let mut connection = connect(&database(&folder)).await;
        sqlx::raw_sql(damage)
            .execute(&mut connection)
            .await
            .unwrap();
        connection.close().await.unwrap();

        let store = open(&folder).await;

        store.beat(beat("time", 2)).await.unwrap();
        assert_eq!(sequences(&folder).await, [2], "{damage}");
        assert_eq!(corrupt(&folder).len(), 1, "{damage}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, max_shrink_iters: 64, failure_persistence: None, ..ProptestConfig::default() })]

    /// Damage costs one write at most: the one that finds it.
    #[test]
    fn a_store_opens_and_stores_beats_whichever_bytes_are_damaged(
        damages in vec((any::<bool>(), any::<Index>(), any::<[u8; 16]>()), 1..4),
        cut in option::of((any::<bool>(), any::<Index>())),
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let folder = killed().await;
            for (in_log, index, bytes) in damages {
                damage_file(&folder, in_log, |file| {
                    // The version of the schema: a newer one is refused and not set aside.
                    let at = index.index(file.len() - 16);
                    if in_log || !(45..64).contains(&at) {
                        file[at..at + 16].copy_from_slice(&bytes);
                    }
                });
            }
            if let Some((in_log, index)) = cut {
                damage_file(&folder, in_log, |file| file.truncate(index.index(file.len())));
            }

            let store = open(&folder).await;

            let mut rejected = 0;
            for sequence in 1_000_001..1_000_010 {
                match store.beat(beat("time", sequence)).await {
                    Ok(()) => {}
                    Err(StoreError::Unwritable(_)) => rejected += 1,
                    Err(error) => panic!("{error:?}"),
                }
            }
            assert!(rejected <= 1, "{rejected} beats rejected");
            store.close().await;
        });
    }
}

/// The files of a killed store, with beats in the database and in its write-ahead log.
async fn killed() -> TempDir {
    let folder = folder();
    open(&folder).await.close().await;
    let store = open(&folder).await;
    let beats = (1..=100).map(|sequence| store.beat(beat("time", sequence)));
    assert!(join_all(beats).await.iter().all(Result::is_ok));
    store.close().await;
    let store = open(&folder).await;
    let beats = (101..=200).map(|sequence| store.beat(beat("time", sequence)));
    assert!(join_all(beats).await.iter().all(Result::is_ok));
    let left = self::folder();
    for file in ["heartbeats.db", "heartbeats.db-wal"] {
        fs::copy(folder.path().join(file), left.path().join(file)).unwrap();
    }
    store.close().await;
    left
}

fn damage_file(folder: &TempDir, in_log: bool, damage: impl FnOnce(&mut Vec<u8>)) {
    let file = if in_log {
        "heartbeats.db-wal"
    } else {
        "heartbeats.db"
    };
    let path = folder.path().join(file);
    let mut bytes = fs::read(&path).unwrap();
    damage(&mut bytes);
    fs::write(&path, bytes).unwrap();
}

#[tokio::test]
async fn a_database_damaged_while_open_costs_one_write_and_is_set_aside() {
    let folder = folder();
    let store = open_impatient(&folder).await;
    store.beat(beat("time", 1)).await.unwrap();
    // A failed write makes the writer reconnect.
    let mut other = connect(&database(&folder)).await;
    let lock = other.begin_with("BEGIN IMMEDIATE").await.unwrap();
    store.beat(beat("time", 2)).await.unwrap_err();
    lock.rollback().await.unwrap();
    other.close().await.unwrap();
    let damaged = damaged_header(fs::read(database(&folder)).unwrap());
    fs::write(database(&folder), damaged).unwrap();

    let error = store.beat(beat("time", 3)).await.unwrap_err();
    assert!(matches!(error, StoreError::Unwritable(_)), "{error:?}");
    store.beat(beat("time", 4)).await.unwrap();

    assert_eq!(sequences(&folder).await, [4]);
    assert_eq!(corrupt(&folder).len(), 1);
}
