//! `POST /books`: every field and every body that is rejected.

use std::time::Duration;

use axum::body::Body;
use futures_util::stream;
use serde_json::json;
use tonic::Code;
use vitalmesh_proto::bookstore::v1::bookstore_service_server::BookstoreServiceServer;

use crate::fixture::{Failing, Shop, emma};

#[tokio::test]
async fn a_wrong_book_is_refused_with_every_wrong_field() {
    let shop = Shop::open().await;
    let mut wrong = emma();
    wrong["title"] = json!(" ");
    wrong["pages"] = json!(0);
    let answer = shop.post("application/json", wrong.to_string()).await;
    let expected = "pages is not 1 to 100000; title is not 1 to 300 characters";
    assert_eq!(answer.problem(400), expected);
    assert_eq!(answer.json()["grpc_code"], "InvalidArgument");
}

#[tokio::test]
async fn an_empty_object_is_refused_with_every_missing_field() {
    let shop = Shop::open().await;
    let answer = shop.post("application/json", "{}").await;
    assert_eq!(
        answer.problem(400),
        "author is not 1 to 300 characters; \
         link is no http or https URL of at most 2000 characters; pages is not 1 to 100000; \
         title is not 1 to 300 characters"
    );
    assert_eq!(answer.json()["grpc_code"], "InvalidArgument");
}

#[tokio::test]
async fn fields_of_another_type_are_named_with_all_that_is_wrong_and_unknown() {
    let shop = Shop::open().await;
    for (field, value, expected) in [
        ("pages", json!("ten"), "pages is no 32-bit integer"),
        ("pages", json!(1.5), "pages is no 32-bit integer"),
        ("year", json!(1e12), "year is no 32-bit integer"),
        ("country", json!(null), "country is no text"),
        ("title", json!(["Emma"]), "title is no text"),
        ("price", json!(5), "price is no field of a book"),
        ("\u{1b}[1m", json!(5), "[1m is no field of a book"),
    ] {
        let mut book = emma();
        book[field] = value;
        let answer = shop.post("application/json", book.to_string()).await;
        assert_eq!(answer.problem(422), expected);
    }
    let mut wrong = json!({"country": "a\n", "language": "a\n", "pages": "", "year": ""});
    wrong["isbn"] = json!("0");
    let answer = shop.post("application/json", wrong.to_string()).await;
    let all = "author is not 1 to 300 characters; country has control characters; \
               language has control characters; \
               link is no http or https URL of at most 2000 characters; \
               pages is no 32-bit integer; title is not 1 to 300 characters; \
               year is no 32-bit integer";
    let detail = answer.problem(422);
    // The longest there is: what follows is cut at 256 characters, no field of a book is.
    assert_eq!(detail, format!("{all}; isbn is no")[..256]);
}

#[tokio::test]
async fn a_body_that_is_no_book_is_refused_with_the_reason() {
    let shop = Shop::open().await;
    let json = "application/json";
    assert!(shop.post(json, "{").await.problem(400).contains("line 1"));
    assert!(shop.post(json, "").await.problem(400).contains("EOF"));
    assert!(
        shop.post(json, "[]")
            .await
            .problem(422)
            .contains("expected")
    );
    let plain = shop.post("text/plain", emma().to_string()).await;
    assert!(plain.problem(415).contains("application/json"));
    let large = format!("{{\"title\":\"{}\"}}", "a".repeat(64 << 10));
    assert!(shop.post(json, large).await.problem(413).contains("limit"));
}

#[tokio::test(start_paused = true)]
async fn a_body_that_never_comes_is_waited_for_five_seconds() {
    let folder = tempfile::tempdir().unwrap();
    let failing = Failing {
        given: 0,
        code: Code::Internal,
    };
    let shop = Shop::before(BookstoreServiceServer::new(failing), 1, Some(folder));
    let begun = tokio::time::Instant::now();
    let never = Body::from_stream(stream::pending::<Result<Vec<u8>, std::io::Error>>());
    let answer = shop.post("application/json", never).await;
    assert!(answer.problem(408).contains("within 5 s"));
    assert_eq!(begun.elapsed(), Duration::from_secs(5));
}
