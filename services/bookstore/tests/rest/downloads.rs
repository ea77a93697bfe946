//! Streams as bodies: recommendations, failures half way, and their limit.

use axum::body::Body;
use axum::http::Request;
use axum::http::header::CONTENT_TYPE;
use futures_util::StreamExt;
use http_body_util::BodyExt;
use serde_json::{Value, json};
use tonic::Code;
use vitalmesh_proto::bookstore::v1::RecommendBooksRequest;
use vitalmesh_proto::bookstore::v1::bookstore_service_server::BookstoreServiceServer;

use crate::fixture::{Bookshop, Failing};

#[tokio::test]
async fn recommendations_are_lines_and_depend_on_the_user() {
    let bookshop = Bookshop::open().await;
    let response = bookshop.get("/1000?user_id=7").await;
    assert_eq!(response.status, 200);
    assert_eq!(response.headers[CONTENT_TYPE], "application/x-ndjson");
    assert_eq!(response.body.last(), Some(&b'\n'));
    let request = RecommendBooksRequest {
        user_id: 7,
        max_results: 1000,
    };
    let stream = bookshop
        .client()
        .recommend_books(request)
        .await
        .unwrap()
        .into_inner();
    let expected: Vec<_> = stream
        .map(|one| one.unwrap())
        .map(|one| json!({"id": one.id, "title": one.title}))
        .collect()
        .await;
    assert_eq!(response.lines(), expected);
    assert_ne!(bookshop.get("/1000").await.lines(), expected);
}

#[tokio::test]
async fn an_invalid_count_is_rejected() {
    let bookshop = Bookshop::open().await;
    for path in [
        "/0",
        "/-1",
        "/x",
        "/1.5",
        "/10000001",
        "/99999999999",
        "/favicon.ico",
    ] {
        assert!(
            bookshop
                .get(path)
                .await
                .problem(400)
                .contains("from 1 to 10000000"),
            "{path}"
        );
    }
    assert!(
        bookshop
            .get("/5?user_id=x")
            .await
            .problem(400)
            .contains("user_id")
    );
}

#[tokio::test]
async fn a_failed_stream_ends_with_an_error_line_and_an_aborted_body() {
    let failing = Failing {
        rows: 2,
        code: Code::Unavailable,
    };
    let bookshop = Bookshop::over(BookstoreServiceServer::new(failing), 1, None);
    for (path, rows) in [("/10", 2), ("/books", 2)] {
        let request = Request::get(path).body(Body::empty()).unwrap();
        let response = bookshop.call(request).await;
        assert_eq!(response.status(), 200);
        let mut body = response.into_body();
        let mut sent = Vec::new();
        let cut = loop {
            match body.frame().await.unwrap() {
                Ok(frame) => sent.extend(frame.into_data().unwrap()),
                Err(error) => break error,
            }
        };
        assert!(cut.to_string().contains("on demand"), "{cut}");
        let sent = String::from_utf8(sent).unwrap();
        let lines: Vec<_> = sent.lines().collect();
        assert_eq!(lines.len(), rows + 1, "{sent}");
        let last: Value = serde_json::from_str(lines[rows]).unwrap();
        assert_eq!(last["error"]["grpc_code"], "Unavailable");
        assert_eq!(last["error"]["detail"], "on demand");
    }
}

#[tokio::test]
async fn downloads_have_a_limit_and_an_ended_one_makes_room() {
    let bookshop = Bookshop::open().await;
    let open = async || {
        let request = Request::get("/10000000").body(Body::empty()).unwrap();
        let response = bookshop.call(request).await;
        assert_eq!(response.status(), 200);
        response.into_body()
    };
    let (first, _second) = (open().await, open().await);
    for path in ["/1", "/books"] {
        let rejected = bookshop.get(path).await;
        assert!(
            rejected
                .problem(429)
                .starts_with("the limit of 2 open streams"),
            "{path}"
        );
        assert_eq!(rejected.headers["retry-after"], "1");
    }
    assert_eq!(bookshop.get("/books/1").await.status, 200);
    drop(first);
    assert_eq!(bookshop.get("/1").await.lines().len(), 1);
}
