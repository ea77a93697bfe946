//! The store's file: created once, kept, and claimed by one process.
#![expect(clippy::unwrap_used, reason = "tests fail by panicking")]

use std::fs;
use std::path::Path;

use prometheus::Registry;
use sqlx::sqlite::SqliteConnectOptions;
use sqlx::{ConnectOptions, Connection};
use tonic::{Code, Request, Status};
use vitalmesh_bookstore::{Bookstore, OpenError, Store};
use vitalmesh_proto::bookstore::v1::bookstore_service_server::BookstoreService;
use vitalmesh_proto::bookstore::v1::{Book, CreateBookRequest, RetrieveBookRequest};
use vitalmesh_store::{ClaimError, Limits};

async fn open(folder: &Path) -> Result<Store, OpenError> {
    Store::open(folder, Limits::default()).await
}

async fn create(store: &Store, title: &str) -> Result<Book, Status> {
    let bookstore = Bookstore::new(store.clone(), &Registry::new()).unwrap();
    let book = CreateBookRequest {
        author: "a person".to_owned(),
        link: "https://a".to_owned(),
        pages: 1,
        title: title.to_owned(),
        ..CreateBookRequest::default()
    };
    Ok(bookstore
        .create_book(Request::new(book))
        .await?
        .into_inner())
}

async fn retrieve(store: &Store, book_id: i32) -> Result<Book, Status> {
    let bookstore = Bookstore::new(store.clone(), &Registry::new()).unwrap();
    let request = Request::new(RetrieveBookRequest { book_id });
    Ok(bookstore.retrieve_book(request).await?.into_inner())
}

/// Runs a statement on the closed store's file.
async fn alter(folder: &Path, statement: &'static str) {
    let options = SqliteConnectOptions::new().filename(folder.join("bookstore.db"));
    let mut connection = options.connect().await.unwrap();
    sqlx::raw_sql(statement)
        .execute(&mut connection)
        .await
        .unwrap();
    connection.close().await.unwrap();
}

#[tokio::test]
async fn books_survive_a_restart_and_the_classics_are_added_once() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(folder.path()).await.unwrap();
    let before = create(&store, "before").await.unwrap();
    store.close().await;
    let store = open(folder.path()).await.unwrap();
    assert_eq!(retrieve(&store, before.book_id).await.unwrap(), before);
    let after = create(&store, "after").await.unwrap();
    assert_eq!(after.book_id, before.book_id + 1);
}

#[tokio::test]
async fn a_second_store_in_the_folder_is_rejected() {
    let folder = tempfile::tempdir().unwrap();
    let _first = open(folder.path()).await.unwrap();
    let error = open(folder.path()).await.unwrap_err();
    assert!(
        matches!(&error, OpenError::Claim(ClaimError::InUse { .. })),
        "{error:?}"
    );
    let path = folder.path().join("bookstore.db");
    assert_eq!(
        error.to_string(),
        format!(
            "{} is in use by another process; stop it or choose another data folder",
            path.display()
        )
    );
}

#[tokio::test]
async fn another_file_is_rejected_and_left_unchanged() {
    for content in [
        "no database at all, but longer than a header of SQLite: ",
        "",
    ] {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("bookstore.db");
        fs::write(&path, content.repeat(100)).unwrap();
        let opened = open(folder.path()).await;
        match content {
            "" => assert!(opened.is_ok(), "an empty file is a new store"),
            _ => {
                let error = opened.unwrap_err();
                assert!(matches!(error, OpenError::Foreign { .. }), "{error:?}");
                assert_eq!(fs::read_to_string(&path).unwrap(), content.repeat(100));
            }
        }
    }
}

#[tokio::test]
async fn a_newer_and_a_foreign_schema_are_rejected() {
    let folder = tempfile::tempdir().unwrap();
    open(folder.path()).await.unwrap().close().await;
    alter(folder.path(), "PRAGMA user_version = 2").await;
    let error = open(folder.path()).await.unwrap_err();
    assert!(
        matches!(error, OpenError::Newer { found: 2, .. }),
        "{error:?}"
    );
    alter(folder.path(), "PRAGMA user_version = 0").await;
    let error = open(folder.path()).await.unwrap_err();
    assert!(matches!(error, OpenError::Foreign { .. }), "{error:?}");
}

#[tokio::test]
async fn a_full_database_rejects_books_and_is_still_read() {
    let folder = tempfile::tempdir().unwrap();
    let limits = Limits {
        max_bytes: 64 << 10,
        ..Limits::default()
    };
    let store = Store::open(folder.path(), limits).await.unwrap();
    let mut last = None;
    let rejected = loop {
        match create(&store, &"a".repeat(300)).await {
            Ok(book) => last = Some(book),
            Err(status) => break status,
        }
    };
    assert_eq!(rejected.code(), Code::Unavailable);
    assert_eq!(
        rejected.message(),
        "the bookstore cannot write now; send the book again later"
    );
    let last = last.unwrap();
    assert_eq!(retrieve(&store, last.book_id).await.unwrap(), last);
    let missing = retrieve(&store, last.book_id + 1).await.unwrap_err();
    assert_eq!(missing.code(), Code::NotFound);
}

#[tokio::test]
async fn a_closed_store_rejects_calls_as_closed() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(folder.path()).await.unwrap();
    store.close().await;
    for rejected in [create(&store, "late").await, retrieve(&store, 1).await] {
        let status = rejected.unwrap_err();
        assert_eq!(status.code(), Code::Unavailable);
        assert_eq!(status.message(), "the bookstore is closed; try again later");
    }
}

#[tokio::test]
async fn a_book_whose_caller_has_gone_is_stored() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(folder.path()).await.unwrap();
    let first = create(&store, "first").await.unwrap();
    {
        let mut call = Box::pin(create(&store, "left behind"));
        // Polled once: the book is in the writer's queue.
        assert!(futures_util::poll!(call.as_mut()).is_pending());
    }
    store.close().await;
    let store = open(folder.path()).await.unwrap();
    let stored = retrieve(&store, first.book_id + 1).await.unwrap();
    assert_eq!(stored.title, "left behind");
}
