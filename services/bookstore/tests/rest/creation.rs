//! `POST /books`: every field and every body that is rejected.

use std::time::Duration;

use axum::body::Body;
use futures_util::stream;
use serde_json::json;
use tonic::Code;
use vitalmesh_proto::bookstore::v1::bookstore_service_server::BookstoreServiceServer;

use crate::fixture::{Bookshop, Failing, emma};

#[tokio::test]
async fn an_invalid_book_is_rejected_with_every_invalid_field() {
    let bookshop = Bookshop::open().await;
    let mut wrong = emma();
    wrong["title"] = json!(" ");
    wrong["pages"] = json!(0);
    let response = bookshop.post("application/json", wrong.to_string()).await;
    let expected = "pages is not 1 to 100000; title is not 1 to 300 characters";
    assert_eq!(response.problem(400), expected);
    assert_eq!(response.json()["grpc_code"], "InvalidArgument");
}

#[tokio::test]
async fn an_empty_object_is_rejected_with_every_missing_field() {
    let bookshop = Bookshop::open().await;
    let response = bookshop.post("application/json", "{}").await;
    assert_eq!(
        response.problem(400),
        "author is not 1 to 300 characters; \
         link is not an http or https URL of at most 2000 characters; pages is not 1 to 100000; \
         title is not 1 to 300 characters"
    );
    assert_eq!(response.json()["grpc_code"], "InvalidArgument");
}

#[tokio::test]
async fn fields_of_another_type_are_named_with_every_invalid_and_unknown_one() {
    let bookshop = Bookshop::open().await;
    for (field, value, expected) in [
        ("pages", json!("ten"), "pages is not a 32-bit integer"),
        ("pages", json!(1.5), "pages is not a 32-bit integer"),
        ("year", json!(1e12), "year is not a 32-bit integer"),
        ("country", json!(null), "country is not a string"),
        ("title", json!(["Emma"]), "title is not a string"),
        ("price", json!(5), "price is not a field of a book"),
        ("\u{1b}[1m", json!(5), "[1m is not a field of a book"),
    ] {
        let mut book = emma();
        book[field] = value;
        let response = bookshop.post("application/json", book.to_string()).await;
        assert_eq!(response.problem(422), expected);
    }
    let mut wrong = json!({"country": "a\n", "language": "a\n", "pages": "", "year": ""});
    wrong["isbn"] = json!("0");
    let response = bookshop.post("application/json", wrong.to_string()).await;
    let all = "author is not 1 to 300 characters; country has control characters; \
               language has control characters; \
               link is not an http or https URL of at most 2000 characters; \
               pages is not a 32-bit integer; title is not 1 to 300 characters; \
               year is not a 32-bit integer";
    let detail = response.problem(422);
    // The longest list of fields that a book has: only unknown ones can exceed the 256 characters.
    assert_eq!(
        detail,
        format!("{all}; isbn is not a field of a book")[..256]
    );
}

#[tokio::test]
async fn a_body_that_is_not_a_book_is_rejected_with_the_reason() {
    let bookshop = Bookshop::open().await;
    let json = "application/json";
    assert!(
        bookshop
            .post(json, "{")
            .await
            .problem(400)
            .contains("line 1")
    );
    assert!(bookshop.post(json, "").await.problem(400).contains("EOF"));
    assert!(
        bookshop
            .post(json, "[]")
            .await
            .problem(422)
            .contains("expected")
    );
    let plain = bookshop.post("text/plain", emma().to_string()).await;
    assert!(plain.problem(415).contains("application/json"));
    let large = format!("{{\"title\":\"{}\"}}", "a".repeat(64 << 10));
    assert!(
        bookshop
            .post(json, large)
            .await
            .problem(413)
            .contains("limit")
    );
}

#[tokio::test(start_paused = true)]
async fn a_body_that_never_arrives_is_rejected_after_five_seconds() {
    let folder = tempfile::tempdir().unwrap();
    let failing = Failing {
        rows: 0,
        code: Code::Internal,
    };
    let bookshop = Bookshop::over(BookstoreServiceServer::new(failing), 1, Some(folder));
    let begun = tokio::time::Instant::now();
    let never = Body::from_stream(stream::pending::<Result<Vec<u8>, std::io::Error>>());
    let response = bookshop.post("application/json", never).await;
    assert!(response.problem(408).contains("within 5 s"));
    assert_eq!(begun.elapsed(), Duration::from_secs(5));
}
