//! The store's promises: what is acknowledged stays, and nothing that fails stops it.

#![expect(clippy::unwrap_used, reason = "helpers of tests are tests")]

use std::cell::Cell;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use futures_util::future::join_all;
use jiff::{SignedDuration, Timestamp};
use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;
use proptest::sample::Index;
use sqlx::sqlite::{SqliteConnectOptions, SqliteConnection};
use sqlx::{ConnectOptions, Connection};
use tempfile::TempDir;
use vitalmesh_edge::{Beat, OpenError, ServiceStatus, Store, StoreError, StoreSettings};
use vitalmesh_store::{ClaimError, Limits};

fn folder() -> TempDir {
    tempfile::tempdir().unwrap()
}

async fn open(folder: &TempDir) -> Store {
    open_with(folder, StoreSettings::default()).await
}

async fn open_with(folder: &TempDir, settings: StoreSettings) -> Store {
    Store::open(folder.path(), settings).await.unwrap()
}

/// A store that hardly waits for a lock.
async fn open_impatient(folder: &TempDir) -> Store {
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

fn beat(service: &str, sequence: i64) -> Beat {
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

fn days_ago(days: i64) -> Timestamp {
    Timestamp::now() - SignedDuration::from_hours(24 * days)
}

fn database(folder: &TempDir) -> PathBuf {
    folder.path().join("heartbeats.db")
}

async fn connect(path: &Path) -> SqliteConnection {
    let options = SqliteConnectOptions::new().filename(path);
    options.connect().await.unwrap()
}

/// Asks the file, not the store.
async fn numbers(path: &Path, query: &'static str) -> Vec<i64> {
    let mut connection = connect(path).await;
    let numbers = sqlx::query_scalar(query).fetch_all(&mut connection).await;
    connection.close().await.unwrap();
    numbers.unwrap()
}

async fn sequences(folder: &TempDir) -> Vec<i64> {
    numbers(&database(folder), "SELECT sequence FROM beats ORDER BY id").await
}

fn names(store: &Store) -> Vec<String> {
    store
        .services()
        .into_iter()
        .map(|status| status.service)
        .collect()
}

/// Databases that were set aside.
fn corrupt(folder: &TempDir) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder.path()).unwrap();
    let paths = entries.map(|entry| entry.unwrap().path());
    paths
        .filter(|path| path.to_string_lossy().contains(".db.corrupt-"))
        .collect()
}

#[tokio::test]
async fn a_reopened_store_has_all_that_was_acknowledged() {
    let folder = folder();
    let store = open(&folder).await;
    for sequence in 1..=3 {
        store.beat(beat("time", sequence)).await.unwrap();
    }
    let known = store.services();
    store.close().await;

    let store = open(&folder).await;

    let expected = ServiceStatus {
        service: "time".to_owned(),
        instance: "one".to_owned(),
        version: "0.1.0".to_owned(),
        started_at: Some("2026-11-21T12:00:00.000001Z".parse().unwrap()),
        interval: Some(Duration::from_millis(1500)),
        last_seen: "2099-01-01T00:00:00.5Z".parse().unwrap(),
        beats: 3,
        received: 3,
    };
    assert_eq!(known, std::slice::from_ref(&expected));
    let restored = ServiceStatus {
        received: 0,
        ..expected
    };
    assert_eq!(store.services(), [restored]);
    assert_eq!(sequences(&folder).await, [1, 2, 3]);
}

#[tokio::test]
async fn an_acknowledged_beat_is_in_the_file_before_the_store_is_closed() {
    let folder = folder();
    let store = open(&folder).await;
    for sequence in 1..=5 {
        store.beat(beat("time", sequence)).await.unwrap();
        let stored = numbers(&database(&folder), "SELECT max(sequence) FROM beats").await;
        assert_eq!(stored, [sequence]);
    }
}

#[tokio::test]
async fn every_field_of_a_beat_is_stored() {
    let folder = folder();
    let store = open(&folder).await;
    store.beat(beat("time", 7)).await.unwrap();
    let bare = Beat {
        instance: String::new(),
        version: String::new(),
        started_at: None,
        interval: None,
        vital_signs: None,
        ..beat("time", 0)
    };
    store.beat(bare).await.unwrap();
    store.close().await;

    let mut connection = connect(&database(&folder)).await;
    type Row = (
        String,
        String,
        String,
        Option<i64>,
        Option<i64>,
        i64,
        Option<Vec<u8>>,
        i64,
    );
    let rows: Vec<Row> = sqlx::query_as(
        "SELECT service, instance, version, started_at_us, interval_ns, sequence, vital_signs,
                received_at_us FROM beats ORDER BY id",
    )
    .fetch_all(&mut connection)
    .await
    .unwrap();
    let (full, bare) = (beat("time", 7), String::new);
    let received_at = full.received_at.as_microsecond();
    let started_at = full.started_at.map(Timestamp::as_microsecond);
    let time = || "time".to_owned();
    assert_eq!(
        rows,
        [
            (
                time(),
                full.instance,
                full.version,
                started_at,
                Some(1_500_000_000),
                7,
                full.vital_signs,
                received_at,
            ),
            (time(), bare(), bare(), None, None, 0, None, received_at),
        ]
    );
}

#[tokio::test]
async fn a_repeated_beat_is_acknowledged_and_stored_once() {
    let folder = folder();
    let store = open(&folder).await;
    for _ in 0..3 {
        store.beat(beat("time", 1)).await.unwrap();
    }
    // In one batch, too.
    let repeated = join_all((0..3).map(|_| store.beat(beat("time", 2)))).await;
    assert!(repeated.iter().all(Result::is_ok));

    assert_eq!(sequences(&folder).await, [1, 2]);
    let status = store.services().remove(0);
    assert_eq!((status.beats, status.received), (2, 6));

    for _ in 0..2 {
        let untold = Beat {
            started_at: None,
            ..beat("time", 3)
        };
        store.beat(untold).await.unwrap();
    }
    assert_eq!(sequences(&folder).await, [1, 2, 3]);
}

#[tokio::test]
async fn beats_that_differ_in_service_instance_start_or_count_are_all_stored() {
    let folder = folder();
    let store = open(&folder).await;
    let first = beat("time", 1);
    for other in [
        first.clone(),
        beat("revert-name", 1),
        Beat {
            instance: "two".to_owned(),
            ..first.clone()
        },
        Beat {
            started_at: Some(Timestamp::UNIX_EPOCH + SignedDuration::from_secs(1)),
            ..first.clone()
        },
        Beat {
            started_at: None,
            ..first
        },
        beat("time", 0),
        beat("time", 0),
    ] {
        store.beat(other).await.unwrap();
    }
    assert_eq!(sequences(&folder).await, [1, 1, 1, 1, 1, 0, 0]);
}

#[tokio::test]
async fn beats_that_wait_together_share_a_transaction() {
    const BEATS: u64 = 200;
    const FRAME: u64 = 4096 + 24;
    let folder = folder();
    let store = open(&folder).await;
    let log = || {
        fs::metadata(folder.path().join("heartbeats.db-wal"))
            .unwrap()
            .len()
    };
    let before = log();

    let stored = join_all((1..=200).map(|sequence| store.beat(beat("time", sequence)))).await;

    assert!(stored.iter().all(Result::is_ok));
    assert_eq!(sequences(&folder).await, (1..=200).collect::<Vec<_>>());
    // A transaction writes at least the pages it changes: one each would be 400 and more.
    let frames = (log() - before) / FRAME;
    assert!(frames < BEATS / 2, "{frames} frames");
}

#[tokio::test]
async fn the_65th_service_is_refused_and_the_64_go_on() {
    let folder = folder();
    let store = open(&folder).await;
    let name = |number: i64| format!("service-{number:02}");
    for number in 1..=63 {
        store.beat(beat(&name(number), 1)).await.unwrap();
    }

    // One batch, with room for one more name.
    let verdicts = join_all((64..=70).map(|number| store.beat(beat(&name(number), 1)))).await;

    assert!(verdicts[0].is_ok());
    for verdict in &verdicts[1..] {
        let error = verdict.clone().unwrap_err();
        assert!(
            matches!(error, StoreError::TooManyServices { max: 64 }),
            "{error:?}"
        );
    }
    for number in 1..=64 {
        store.beat(beat(&name(number), 2)).await.unwrap();
    }
    let expected: Vec<_> = (1..=64).map(name).collect();
    assert_eq!(names(&store), expected);

    store.close().await;
    let store = open(&folder).await;
    assert_eq!(names(&store), expected);
    let error = store.beat(beat("late", 1)).await.unwrap_err();
    assert!(
        matches!(error, StoreError::TooManyServices { max: 64 }),
        "{error:?}"
    );
    store.beat(beat(&name(64), 3)).await.unwrap();
}

#[tokio::test]
async fn the_queue_holds_1024_beats_and_refuses_the_next() {
    let folder = folder();
    let store = open(&folder).await;

    let verdicts = join_all((1..=1025).map(|sequence| store.beat(beat("time", sequence)))).await;

    let (stored, refused) = verdicts.split_at(1024);
    assert!(stored.iter().all(Result::is_ok));
    assert!(matches!(refused, [Err(StoreError::Busy)]), "{refused:?}");
    assert_eq!(sequences(&folder).await, (1..=1024).collect::<Vec<_>>());
    store.beat(beat("time", 1025)).await.unwrap();
}

#[tokio::test]
async fn strangers_leave_room_for_the_services_that_are_expected() {
    let folder = folder();
    let settings = StoreSettings {
        max_services: 3,
        reserved: vec!["time".to_owned(), "revert-name".to_owned()],
        ..StoreSettings::default()
    };
    let store = open_with(&folder, settings).await;
    store.beat(beat("stranger", 1)).await.unwrap();
    let refused = store.beat(beat("another", 1)).await;
    assert!(matches!(
        refused,
        Err(StoreError::TooManyServices { max: 3 })
    ));
    store.beat(beat("time", 1)).await.unwrap();
    store.beat(beat("another", 1)).await.unwrap_err();
    store.beat(beat("revert-name", 1)).await.unwrap();
    assert_eq!(names(&store), ["revert-name", "stranger", "time"]);
}

#[tokio::test]
async fn pruning_deletes_what_is_too_old_and_forgets_services_unseen_since() {
    let folder = folder();
    let settings = StoreSettings {
        max_services: 2,
        ..StoreSettings::default()
    };
    let store = open_with(&folder, settings.clone()).await;
    for (service, sequence, days) in [
        ("gone", 1, 9),
        ("gone", 2, 8),
        ("time", 3, 8),
        ("time", 4, 6),
    ] {
        let received_at = days_ago(days);
        let old = Beat {
            received_at,
            ..beat(service, sequence)
        };
        store.beat(old).await.unwrap();
    }

    assert_eq!(store.prune().await.unwrap(), 3);

    assert_eq!(sequences(&folder).await, [4]);
    assert_eq!(names(&store), ["time"]);
    assert_eq!(store.services()[0].beats, 2);
    store.beat(beat("new", 1)).await.unwrap();
    store.close().await;
    assert_eq!(names(&open_with(&folder, settings).await), ["new", "time"]);
}

#[tokio::test]
async fn pruning_keeps_the_newest_rows_over_many_steps() {
    let folder = folder();
    let settings = StoreSettings {
        max_rows: 10,
        ..StoreSettings::default()
    };
    let store = open_with(&folder, settings).await;
    for start in [1, 1001, 2001] {
        let beats = (start..start + 1000).map(|sequence| store.beat(beat("time", sequence)));
        assert!(join_all(beats).await.iter().all(Result::is_ok));
    }

    assert_eq!(store.prune().await.unwrap(), 2990);

    assert_eq!(sequences(&folder).await, (2991..=3000).collect::<Vec<_>>());
    assert_eq!(store.prune().await.unwrap(), 0);
    assert_eq!(store.services()[0].beats, 3000);
}

#[tokio::test]
async fn beats_are_stored_between_the_steps_of_pruning() {
    let folder = folder();
    let settings = StoreSettings {
        max_rows: 10,
        ..StoreSettings::default()
    };
    let store = open_with(&folder, settings).await;
    for start in [1, 1001, 2001] {
        let beats = (start..start + 1000).map(|sequence| store.beat(beat("time", sequence)));
        assert!(join_all(beats).await.iter().all(Result::is_ok));
    }

    let is_pruned = Cell::new(false);
    let prune = async {
        assert_eq!(store.prune().await.unwrap(), 2991);
        is_pruned.set(true);
    };
    let late = async {
        // The first step has begun.
        tokio::task::yield_now().await;
        store.beat(beat("time", 3001)).await.unwrap();
        assert!(!is_pruned.get());
    };
    tokio::join!(prune, late);
}

#[tokio::test]
async fn pruning_waits_for_room_in_a_full_queue() {
    let folder = folder();
    let settings = StoreSettings {
        max_rows: 10,
        ..StoreSettings::default()
    };
    let store = open_with(&folder, settings).await;
    let beats = join_all((1..=1024).map(|sequence| store.beat(beat("time", sequence))));

    let (stored, pruned) = tokio::join!(beats, store.prune());

    assert!(stored.iter().all(Result::is_ok));
    assert!(pruned.unwrap() > 0);
}

#[tokio::test]
async fn a_corrupt_database_is_set_aside_and_a_fresh_one_takes_beats() {
    for damage in [damaged_page, damaged_header, truncated] {
        let folder = folder();
        let store = open(&folder).await;
        let beats = (1..=500).map(|sequence| store.beat(beat("time", sequence)));
        assert!(join_all(beats).await.iter().all(Result::is_ok));
        store.close().await;
        let damaged = damage(fs::read(database(&folder)).unwrap());
        fs::write(database(&folder), &damaged).unwrap();

        let store = open(&folder).await;

        assert_eq!(store.services(), []);
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
async fn a_database_without_its_tables_or_with_odd_rows_is_set_aside() {
    for damage in [
        "DROP TABLE services",
        "DROP INDEX beats_by_age",
        "PRAGMA user_version = 0",
        "PRAGMA user_version = -1",
        "UPDATE services SET last_seen_us = 9223372036854775807",
        "UPDATE services SET instance = CAST(x'ff' AS TEXT)",
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

    /// Each damage costs at most the write that finds it.
    #[test]
    fn whatever_bytes_are_damaged_the_store_opens_and_takes_beats(
        damages in vec((any::<bool>(), any::<Index>(), any::<[u8; 16]>()), 1..4),
        cut in option::of((any::<bool>(), any::<Index>())),
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let folder = killed().await;
            for (in_log, index, bytes) in damages {
                damage_file(&folder, in_log, |file| {
                    // The version of the schema, which tells a newer program's database.
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

            let mut refused = 0;
            for sequence in 1_000_001..1_000_010 {
                match store.beat(beat("time", sequence)).await {
                    Ok(()) => {}
                    Err(StoreError::Unwritable(_)) => refused += 1,
                    Err(error) => panic!("{error:?}"),
                }
            }
            assert!(refused <= 1, "{refused} beats refused");
            store.close().await;
        });
    }
}

/// The files of a store that was killed with beats in the database and in its log.
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
async fn a_database_corrupted_at_run_is_set_aside_by_the_next_write() {
    let folder = folder();
    let store = open_impatient(&folder).await;
    store.beat(beat("time", 1)).await.unwrap();
    // A failed write makes the writer connect again.
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

#[tokio::test]
async fn a_second_opener_is_refused_until_the_first_has_closed() {
    let folder = folder();
    let first = open(&folder).await;

    let error = Store::open(folder.path(), StoreSettings::default())
        .await
        .unwrap_err();

    assert!(
        matches!(&error, OpenError::Claim(ClaimError::InUse { .. })),
        "{error:?}"
    );
    let expected = format!(
        "{} is in use by another process; stop it or choose another data folder",
        database(&folder).display()
    );
    assert_eq!(error.to_string(), expected);
    first.beat(beat("time", 1)).await.unwrap();
    first.close().await;
    open(&folder).await.beat(beat("time", 2)).await.unwrap();
    assert_eq!(sequences(&folder).await, [1, 2]);
}

#[tokio::test]
async fn a_missing_folder_is_made_and_a_file_in_its_place_is_named() {
    let folder = folder();
    let nested = folder.path().join("a/b");
    let store = Store::open(&nested, StoreSettings::default())
        .await
        .unwrap();
    store.beat(beat("time", 1)).await.unwrap();
    assert!(nested.join("heartbeats.db").is_file());

    let file = folder.path().join("file");
    fs::write(&file, "").unwrap();
    let error = Store::open(&file, StoreSettings::default())
        .await
        .unwrap_err();
    assert!(
        matches!(&error, OpenError::Claim(ClaimError::Folder { path, .. }) if *path == file),
        "{error:?}"
    );
}

#[tokio::test]
async fn a_database_of_a_newer_program_is_left_alone() {
    let folder = folder();
    open(&folder).await.close().await;
    let mut connection = connect(&database(&folder)).await;
    let raise = sqlx::raw_sql("PRAGMA user_version = 2");
    raise.execute(&mut connection).await.unwrap();
    connection.close().await.unwrap();

    let error = Store::open(folder.path(), StoreSettings::default())
        .await
        .unwrap_err();

    assert!(
        matches!(error, OpenError::Newer { found: 2, .. }),
        "{error:?}"
    );
    assert_eq!(
        numbers(&database(&folder), "PRAGMA user_version").await,
        [2]
    );
    assert_eq!(corrupt(&folder), Vec::<PathBuf>::new());
}

#[tokio::test]
async fn a_full_database_fails_typed_and_takes_beats_again_after_pruning() {
    let folder = folder();
    let settings = StoreSettings {
        max_rows: 10,
        limits: Limits {
            max_bytes: 32 * 4096,
            ..Limits::default()
        },
        ..StoreSettings::default()
    };
    let store = open_with(&folder, settings).await;
    let mut acknowledged = 0;
    let error = loop {
        assert!(acknowledged < 10_000, "the database is never full");
        match store.beat(beat("time", acknowledged + 1)).await {
            Ok(()) => acknowledged += 1,
            Err(error) => break error,
        }
    };
    let StoreError::Unwritable(cause) = &error else {
        panic!("{error:?}");
    };
    assert!(cause.to_string().contains("full"), "{cause}");
    assert_eq!(
        sequences(&folder).await,
        (1..=acknowledged).collect::<Vec<_>>()
    );
    assert_eq!(store.services()[0].beats, acknowledged);
    // It stays full, and typed, on the connection made anew.
    let again = store
        .beat(beat("time", acknowledged + 1))
        .await
        .unwrap_err();
    assert!(matches!(again, StoreError::Unwritable(_)), "{again:?}");

    store.prune().await.unwrap();

    store.beat(beat("time", acknowledged + 1)).await.unwrap();
    let newest: Vec<_> = (acknowledged - 9..=acknowledged + 1).collect();
    assert_eq!(sequences(&folder).await, newest);
    assert_eq!(numbers(&database(&folder), "PRAGMA page_count").await, [32]);
}

#[tokio::test]
async fn a_locked_database_fails_the_whole_batch_and_none_of_it_is_stored() {
    let folder = folder();
    let store = open_impatient(&folder).await;
    store.beat(beat("time", 1)).await.unwrap();
    let known = store.services();
    let mut other = connect(&database(&folder)).await;
    let lock = other.begin_with("BEGIN IMMEDIATE").await.unwrap();

    let verdicts = join_all((2..=20).map(|sequence| store.beat(beat("new", sequence)))).await;

    for verdict in verdicts {
        let error = verdict.unwrap_err();
        assert!(matches!(error, StoreError::Unwritable(_)), "{error:?}");
    }
    assert_eq!(store.services(), known);
    assert!(matches!(
        store.prune().await,
        Err(StoreError::Unwritable(_))
    ));
    lock.rollback().await.unwrap();
    store.beat(beat("time", 21)).await.unwrap();
    assert_eq!(sequences(&folder).await, [1, 21]);
}

/// A count that has no room for one more makes the writer panic where overflows are checked.
#[cfg(debug_assertions)]
#[tokio::test]
async fn a_panic_of_the_writer_costs_its_batch_and_later_beats_are_stored() {
    let folder = folder();
    let store = open(&folder).await;
    store.beat(beat("time", 1)).await.unwrap();
    store.beat(beat("edge", 1)).await.unwrap();
    store.close().await;
    drop(store);
    let mut connection = connect(&database(&folder)).await;
    let full = "UPDATE services SET beats = 9223372036854775807 WHERE service = 'time'";
    sqlx::query(full).execute(&mut connection).await.unwrap();
    connection.close().await.unwrap();

    let store = open(&folder).await;
    let batch = ["edge", "time", "edge"].map(|service| store.beat(beat(service, 2)));
    for verdict in join_all(batch).await {
        let error = verdict.unwrap_err();
        assert!(matches!(error, StoreError::Panicked), "{error:?}");
    }
    store.beat(beat("edge", 3)).await.unwrap();
    store.prune().await.unwrap();
    store.close().await;
    assert_eq!(sequences(&folder).await, [1, 1, 3]);
}

#[tokio::test]
async fn closing_stores_what_waits_and_refuses_what_comes_later() {
    let folder = folder();
    let store = open(&folder).await;
    let before = join_all((1..=300).map(|sequence| store.beat(beat("time", sequence))));
    let behind = join_all((301..=600).map(|sequence| store.beat(beat("time", sequence))));

    let (before, (), behind) = tokio::join!(before, store.close(), behind);

    assert!(before.iter().chain(&behind).all(Result::is_ok));
    assert_eq!(sequences(&folder).await, (1..=600).collect::<Vec<_>>());
    let late = store.beat(beat("time", 601)).await.unwrap_err();
    assert!(matches!(late, StoreError::Closed), "{late:?}");
    assert!(matches!(store.prune().await, Err(StoreError::Closed)));
    store.close().await;
    assert!(!folder.path().join("heartbeats.db-wal").exists());
}

#[tokio::test]
async fn a_waiter_that_gives_up_takes_nothing_from_the_others() {
    let folder = folder();
    let store = open(&folder).await;
    let mut abandoned = Box::pin(store.beat(beat("time", 1)));
    assert!(futures_util::poll!(&mut abandoned).is_pending());
    drop(abandoned);

    store.beat(beat("time", 2)).await.unwrap();

    assert_eq!(sequences(&folder).await, [1, 2]);
}

#[tokio::test]
async fn text_that_looks_like_sql_is_stored_as_text() {
    let folder = folder();
    let store = open(&folder).await;
    let hostile = "'); DROP TABLE beats; --";
    let instance = hostile.to_owned();
    store
        .beat(Beat {
            instance,
            ..beat(hostile, 1)
        })
        .await
        .unwrap();
    store.close().await;

    let store = open(&folder).await;
    assert_eq!(names(&store), [hostile]);
    assert_eq!(store.services()[0].instance, hostile);
    assert_eq!(sequences(&folder).await, [1]);
}
