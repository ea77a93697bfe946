//! What an acknowledged beat leaves in the file and in memory.

use std::fs;
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::join_all;
use jiff::{SignedDuration, Timestamp};
use vitalmesh_edge::{Beat, InstanceStatus, ServiceStatus};

use crate::fixture::{beat, connect, database, folder, names, numbers, open, sequences};

#[tokio::test]
async fn a_reopened_store_has_every_acknowledged_beat() {
    let folder = folder();
    let store = open(&folder).await;
    for sequence in 1..=3 {
        store.beat(beat("time", sequence)).await.unwrap();
    }
    let services = store.services();
    store.close().await;

    let store = open(&folder).await;

    let instance = |received| InstanceStatus {
        instance: "one".to_owned(),
        version: "0.1.0".to_owned(),
        started_at: Some("2026-11-21T12:00:00.000001Z".parse().unwrap()),
        interval: Some(Duration::from_millis(1500)),
        last_seen: "2099-01-01T00:00:00.5Z".parse().unwrap(),
        beats: 3,
        received,
    };
    let expected = |received| {
        Arc::new(ServiceStatus {
            service: "time".to_owned(),
            beats: 3,
            instances: [("one".to_owned(), instance(received))].into(),
        })
    };
    assert_eq!(services, [expected(3)]);
    assert_eq!(store.services(), [expected(0)]);
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
    // In one batch as well.
    let repeated = join_all((0..3).map(|_| store.beat(beat("time", 2)))).await;
    assert!(repeated.iter().all(Result::is_ok));

    assert_eq!(sequences(&folder).await, [1, 2]);
    let status = store.services().remove(0);
    let received = status.newest().unwrap().received;
    assert_eq!((status.beats, received), (2, 6));

    for _ in 0..2 {
        let without_start = Beat {
            started_at: None,
            ..beat("time", 3)
        };
        store.beat(without_start).await.unwrap();
    }
    assert_eq!(sequences(&folder).await, [1, 2, 3]);
}

#[tokio::test]
async fn beats_that_differ_in_service_instance_start_or_sequence_are_all_stored() {
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
async fn a_beat_whose_caller_has_gone_is_stored() {
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
    assert_eq!(store.services()[0].newest().unwrap().instance, hostile);
    assert_eq!(sequences(&folder).await, [1]);
}
