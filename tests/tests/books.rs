//! SIGKILL at any moment loses no acknowledged book, created by REST or by gRPC.
#![expect(clippy::unwrap_used, reason = "tests fail by panicking")]

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::{Arc, Mutex};

use http::Request;
use rustix::process::Signal;
use serde_json::json;
use tokio::task::JoinSet;
use vitalmesh_chassis::Addresses;
use vitalmesh_proto::bookstore::v1::bookstore_service_client::BookstoreServiceClient;
use vitalmesh_proto::bookstore::v1::{CreateBookRequest, RetrieveBookRequest};
use vitalmesh_tests::{Program, channel, eventually, get, run, send_json};

const ROUNDS: u32 = 10;
const SENDERS: u32 = 4;
/// Books of a round that are acknowledged before the kill, at most, beyond ten.
const MAX_BEFORE_KILL: usize = 200;

/// Titles by id.
type Acknowledged = Arc<Mutex<BTreeMap<i32, String>>>;

fn start(data: &Path) -> Program {
    Program::service("bookstore", &["--data-dir", data.to_str().unwrap()])
}

async fn addresses(bookstore: &Program) -> Addresses {
    Addresses {
        grpc: bookstore.address("grpc").await,
        http: Some(bookstore.address("http").await),
        scrape: bookstore.address("scrape").await,
    }
}

/// Creates a book by REST or gRPC. None where no response came.
async fn create(addresses: Addresses, over_rest: bool, title: &str) -> Option<i32> {
    if over_rest {
        let book = json!({"author": "a", "link": "http://a", "pages": 1, "title": title});
        let request = Request::post("/books");
        let response = send_json(addresses.http.unwrap(), request, &book)
            .await
            .ok()?;
        assert_eq!(response.status, 201, "{}", response.body);
        return i32::try_from(response.json()["book_id"].as_i64()?).ok();
    }
    let book = CreateBookRequest {
        author: "a".to_owned(),
        link: "http://a".to_owned(),
        pages: 1,
        title: title.to_owned(),
        ..CreateBookRequest::default()
    };
    let mut client = BookstoreServiceClient::new(channel(addresses.grpc));
    Some(client.create_book(book).await.ok()?.into_inner().book_id)
}

async fn send_until_killed(
    addresses: Addresses,
    sender: u32,
    round: u32,
    acknowledged: Acknowledged,
) {
    for number in 0.. {
        let title = format!("round {round} sender {sender} number {number}");
        match create(addresses, sender.is_multiple_of(2), &title).await {
            Some(id) => acknowledged.lock().unwrap().insert(id, title),
            None => break,
        };
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_acknowledged_book_survives_ten_kills() {
    let data = tempfile::tempdir().unwrap();
    let acknowledged = Acknowledged::default();
    for round in 0..ROUNDS {
        let bookstore = start(data.path());
        let addresses = addresses(&bookstore).await;
        // A random number of books, so that the kill comes at any moment.
        let enough = acknowledged.lock().unwrap().len() + 10 + fastrand::usize(..MAX_BEFORE_KILL);
        let mut senders = JoinSet::new();
        for sender in 0..SENDERS {
            senders.spawn(send_until_killed(
                addresses,
                sender,
                round,
                Arc::clone(&acknowledged),
            ));
        }
        eventually("books are acknowledged", async || {
            (acknowledged.lock().unwrap().len() > enough).then_some(())
        })
        .await;
        bookstore.signal(Signal::KILL);
        let (status, _) = bookstore.ended().await;
        assert_eq!(status.code(), None, "the bookstore was not killed");
        senders.join_all().await;
    }

    let bookstore = start(data.path());
    let addresses = addresses(&bookstore).await;
    let mut client = BookstoreServiceClient::new(channel(addresses.grpc));
    let acknowledged = acknowledged.lock().unwrap().clone();
    for (book_id, title) in &acknowledged {
        let book_id = *book_id;
        let book = client.retrieve_book(RetrieveBookRequest { book_id }).await;
        assert_eq!(book.unwrap().get_ref().title, *title);
    }
    let classics = get(addresses.http.unwrap(), "/books?start=-9999&end=-1").await;
    let classics = classics.json();
    let oldest = classics.as_array().unwrap().iter();
    let gilgamesh = oldest
        .filter(|book| book["title"] == "Epic of Gilgamesh")
        .count();
    assert_eq!(gilgamesh, 1, "the classics are there once");
    println!("{} acknowledged", acknowledged.len());
}

#[tokio::test]
async fn a_second_process_on_the_same_data_is_rejected() {
    let data = tempfile::tempdir().unwrap();
    let first = start(data.path());
    first.address("grpc").await;
    let data_dir = data.path().to_str().unwrap();
    let free = "127.0.0.1:0";
    let flags = [
        "--grpc-address",
        free,
        "--http-address",
        free,
        "--scrape-address",
        free,
        "--data-dir",
        data_dir,
    ];
    let second = run("bookstore", &flags, &[]).await;
    assert_eq!(second.status.code(), Some(2));
    let stderr = String::from_utf8(second.stderr).unwrap();
    let expected = format!(
        "bookstore: --data-dir (DATA_DIR): {data_dir}/bookstore.db is in use by another process; \
         stop it or choose another data folder"
    );
    assert_eq!(stderr.trim_end(), expected);
}
