//! A failed write costs its batch alone, and closing costs nothing.

use futures_util::future::join_all;
use sqlx::Connection;
use vitalmesh_edge::{StoreError, StoreSettings};
use vitalmesh_store::Limits;

use crate::fixture::{
    beat, connect, database, folder, numbers, open, open_impatient, open_with, sequences,
};

#[tokio::test]
async fn a_full_database_rejects_beats_until_pruning() {
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
    // The next connection reports it as full, too.
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
    let services = store.services();
    let mut other = connect(&database(&folder)).await;
    let lock = other.begin_with("BEGIN IMMEDIATE").await.unwrap();

    let responses = join_all((2..=20).map(|sequence| store.beat(beat("new", sequence)))).await;

    for response in responses {
        let error = response.unwrap_err();
        assert!(matches!(error, StoreError::Unwritable(_)), "{error:?}");
    }
    assert_eq!(store.services(), services);
    assert!(matches!(
        store.prune().await,
        Err(StoreError::Unwritable(_))
    ));
    lock.rollback().await.unwrap();
    store.beat(beat("time", 21)).await.unwrap();
    assert_eq!(sequences(&folder).await, [1, 21]);
}

/// A count at its maximum makes the writer panic where overflow checks are on.
#[cfg(debug_assertions)]
#[tokio::test]
async fn a_panic_of_the_writer_fails_its_batch_and_later_beats_are_stored() {
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
    for response in join_all(batch).await {
        let error = response.unwrap_err();
        assert!(matches!(error, StoreError::Panicked), "{error:?}");
    }
    store.beat(beat("edge", 3)).await.unwrap();
    store.prune().await.unwrap();
    store.close().await;
    assert_eq!(sequences(&folder).await, [1, 1, 3]);
}

#[tokio::test]
async fn closing_stores_queued_beats_and_rejects_later_ones() {
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
