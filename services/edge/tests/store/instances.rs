//! The instances of a service: their limit, and how they are forgotten.

use std::time::Duration;

use futures_util::future::join_all;
use jiff::{SignedDuration, Timestamp};
use vitalmesh_edge::{Beat, Store, StoreError, StoreSettings};

use crate::fixture::{beat, database, folder, names, numbers, open, open_with};

fn of(instance: &str, seconds_ago: i64) -> Beat {
    Beat {
        instance: instance.to_owned(),
        received_at: Timestamp::now() - SignedDuration::from_secs(seconds_ago),
        ..beat("time", 0)
    }
}

fn instances(store: &Store) -> Vec<String> {
    let services = store.services();
    let instances = services.iter().flat_map(|status| status.instances.keys());
    instances.cloned().collect()
}

#[tokio::test]
async fn each_instance_has_its_own_beats_and_the_service_has_their_sum() {
    let folder = folder();
    let store = open(&folder).await;
    for (instance, sequence) in [("a", 1), ("b", 1), ("a", 2), ("a", 2), ("", 0)] {
        let sent = Beat {
            instance: instance.to_owned(),
            ..beat("time", sequence)
        };
        store.beat(sent).await.unwrap();
    }
    let counts = |store: &Store| {
        let status = store.services().remove(0);
        let instances = status.instances.iter();
        let beats: Vec<_> = instances
            .map(|(name, it)| (name.clone(), it.beats))
            .collect();
        (status.beats, beats)
    };
    let each = [("", 1), ("a", 2), ("b", 1)].map(|(name, beats)| (name.to_owned(), beats));
    assert_eq!(counts(&store), (4, each.to_vec()));
    store.close().await;
    assert_eq!(counts(&open(&folder).await), (4, each.to_vec()));
}

#[tokio::test]
async fn the_65th_instance_is_rejected_while_the_64_are_on_time() {
    let folder = folder();
    let store = open(&folder).await;
    let name = |number: i64| format!("host-{number:02}");
    for number in 1..=63 {
        store.beat(of(&name(number), 0)).await.unwrap();
    }

    // One batch, with room for one more name.
    let beats: Vec<_> = (64..=66).map(|number| of(&name(number), 0)).collect();
    let responses = join_all(beats.into_iter().map(|beat| store.beat(beat))).await;

    assert!(responses[0].is_ok());
    for response in &responses[1..] {
        let error = response.clone().unwrap_err();
        assert!(
            matches!(error, StoreError::TooManyInstances { max: 64 }),
            "{error:?}"
        );
    }
    let expected: Vec<_> = (1..=64).map(name).collect();
    assert_eq!(instances(&store), expected);
    for number in 1..=64 {
        store.beat(of(&name(number), 0)).await.unwrap();
    }
    // Another service has places of its own.
    store.beat(beat("revert-name", 1)).await.unwrap();
}

#[tokio::test]
async fn a_new_instance_takes_the_place_of_the_one_that_is_late_for_longest() {
    let folder = folder();
    let settings = StoreSettings {
        max_instances: 3,
        ..StoreSettings::default()
    };
    let store = open_with(&folder, settings.clone()).await;
    // Late after 30 s, although they announce 1.5 s.
    for (instance, seconds_ago) in [("a", 29), ("b", 40), ("c", 50)] {
        store.beat(of(instance, seconds_ago)).await.unwrap();
    }
    store.beat(of("d", 0)).await.unwrap();
    assert_eq!(instances(&store), ["a", "b", "d"]);
    store.beat(of("e", 0)).await.unwrap();
    assert_eq!(instances(&store), ["a", "d", "e"]);
    let error = store.beat(of("f", 0)).await.unwrap_err();
    assert!(
        matches!(error, StoreError::TooManyInstances { max: 3 }),
        "{error:?}"
    );
    assert_eq!(store.services()[0].beats, 5);
    store.close().await;
    assert_eq!(
        instances(&open_with(&folder, settings).await),
        ["a", "d", "e"]
    );
}

#[tokio::test]
async fn pruning_forgets_silent_instances_and_keeps_the_newest_of_a_service() {
    let folder = folder();
    let settings = StoreSettings {
        forget_after: Duration::from_secs(600),
        ..StoreSettings::default()
    };
    let store = open_with(&folder, settings.clone()).await;
    // Late after 4.5 s.
    for (instance, seconds_ago) in [("a", 0), ("b", 590), ("c", 620)] {
        store.beat(of(instance, seconds_ago)).await.unwrap();
    }
    for (instance, seconds_ago) in [("older", 3700), ("newest", 3600)] {
        let silent = Beat {
            service: "silent".to_owned(),
            ..of(instance, seconds_ago)
        };
        store.beat(silent).await.unwrap();
    }

    assert_eq!(store.prune().await.unwrap(), 0);

    assert_eq!(names(&store), ["silent", "time"]);
    assert_eq!(instances(&store), ["newest", "a", "b"]);
    assert_eq!(store.services()[1].beats, 3);
    let rows = numbers(&database(&folder), "SELECT count(*) FROM instances").await;
    assert_eq!(rows, [3]);
    store.close().await;
    let store = open_with(&folder, settings).await;
    assert_eq!(instances(&store), ["newest", "a", "b"]);
    assert_eq!(store.services()[1].beats, 3);
}

#[tokio::test]
async fn a_file_with_more_instances_than_fit_has_its_newest_ones_in_memory() {
    let folder = folder();
    let store = open(&folder).await;
    for (instance, seconds_ago) in [("a", 1), ("b", 3), ("c", 2)] {
        store.beat(of(instance, seconds_ago)).await.unwrap();
    }
    store.close().await;
    let settings = StoreSettings {
        max_instances: 2,
        ..StoreSettings::default()
    };
    assert_eq!(instances(&open_with(&folder, settings).await), ["a", "c"]);
}
