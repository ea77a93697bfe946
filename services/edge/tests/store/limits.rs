//! The limits of the services and of the queue.

use futures_util::future::join_all;
use vitalmesh_edge::{StoreError, StoreSettings};

use crate::fixture::{beat, folder, names, open, open_with, sequences};

#[tokio::test]
async fn the_65th_service_is_rejected_and_the_64_continue() {
    let folder = folder();
    let store = open(&folder).await;
    let name = |number: i64| format!("service-{number:02}");
    for number in 1..=63 {
        store.beat(beat(&name(number), 1)).await.unwrap();
    }

    // One batch, with room for one more name.
    let responses = join_all((64..=70).map(|number| store.beat(beat(&name(number), 1)))).await;

    assert!(responses[0].is_ok());
    for response in &responses[1..] {
        let error = response.clone().unwrap_err();
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
async fn the_queue_holds_1024_beats_and_rejects_the_next() {
    let folder = folder();
    let store = open(&folder).await;

    let responses = join_all((1..=1025).map(|sequence| store.beat(beat("time", sequence)))).await;

    let (stored, rejected) = responses.split_at(1024);
    assert!(stored.iter().all(Result::is_ok));
    assert!(matches!(rejected, [Err(StoreError::Busy)]), "{rejected:?}");
    assert_eq!(sequences(&folder).await, (1..=1024).collect::<Vec<_>>());
    store.beat(beat("time", 1025)).await.unwrap();
}

#[tokio::test]
async fn unreserved_services_leave_room_for_reserved_ones() {
    let folder = folder();
    let settings = StoreSettings {
        max_services: 3,
        reserved: vec!["time".to_owned(), "revert-name".to_owned()],
        ..StoreSettings::default()
    };
    let store = open_with(&folder, settings).await;
    store.beat(beat("unreserved", 1)).await.unwrap();
    let rejected = store.beat(beat("another", 1)).await;
    assert!(matches!(
        rejected,
        Err(StoreError::TooManyServices { max: 3 })
    ));
    store.beat(beat("time", 1)).await.unwrap();
    store.beat(beat("another", 1)).await.unwrap_err();
    store.beat(beat("revert-name", 1)).await.unwrap();
    assert_eq!(names(&store), ["revert-name", "time", "unreserved"]);
}
