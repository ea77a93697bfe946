//! What a store opens, and what it refuses to open.

use std::fs;
use std::path::PathBuf;

use sqlx::Connection;
use vitalmesh_edge::{OpenError, Store, StoreSettings};
use vitalmesh_store::ClaimError;

use crate::fixture::{beat, connect, corrupt, database, folder, numbers, open, sequences};

#[tokio::test]
async fn a_second_store_is_rejected_until_the_first_has_closed() {
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
async fn a_missing_folder_is_created_and_a_file_in_its_place_is_an_error() {
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
async fn a_database_with_a_newer_schema_is_left_unchanged() {
    let folder = folder();
    open(&folder).await.close().await;
    let mut connection = connect(&database(&folder)).await;
    let raise = sqlx::raw_sql("PRAGMA user_version = 3");
    raise.execute(&mut connection).await.unwrap();
    connection.close().await.unwrap();

    let error = Store::open(folder.path(), StoreSettings::default())
        .await
        .unwrap_err();

    assert!(
        matches!(error, OpenError::Newer { found: 3, .. }),
        "{error:?}"
    );
    assert_eq!(
        numbers(&database(&folder), "PRAGMA user_version").await,
        [3]
    );
    assert_eq!(corrupt(&folder), Vec::<PathBuf>::new());
}
