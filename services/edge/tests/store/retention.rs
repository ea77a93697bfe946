//! Pruning: what it deletes, what it keeps, and what it lets pass.

use std::cell::Cell;

use futures_util::future::join_all;
use jiff::{SignedDuration, Timestamp};
use vitalmesh_edge::{Beat, StoreSettings};

use crate::fixture::{beat, folder, names, open_with, sequences};

fn days_ago(days: i64) -> Timestamp {
    Timestamp::now() - SignedDuration::from_hours(24 * days)
}

#[tokio::test]
async fn pruning_deletes_old_beats_and_services_without_newer_ones() {
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
