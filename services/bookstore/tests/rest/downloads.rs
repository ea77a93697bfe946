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

use crate::fixture::{Failing, Shop};

#[tokio::test]
async fn recommendations_are_lines_and_the_users_own() {
    let shop = Shop::open().await;
    let answer = shop.get("/1000?user_id=7").await;
    assert_eq!(answer.status, 200);
    assert_eq!(answer.headers[CONTENT_TYPE], "application/x-ndjson");
    assert_eq!(answer.body.last(), Some(&b'\n'));
    let request = RecommendBooksRequest {
        user_id: 7,
        max_results: 1000,
    };
    let stream = shop
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
    assert_eq!(answer.lines(), expected);
    assert_ne!(shop.get("/1000").await.lines(), expected);
}

#[tokio::test]
async fn a_count_that_is_none_is_refused() {
    let shop = Shop::open().await;
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
            shop.get(path)
                .await
                .problem(400)
                .contains("from 1 to 10000000"),
            "{path}"
        );
    }
    assert!(
        shop.get("/5?user_id=x")
            .await
            .problem(400)
            .contains("user_id")
    );
}

#[tokio::test]
async fn a_failure_half_way_is_told_and_the_body_is_cut() {
    let failing = Failing {
        given: 2,
        code: Code::Unavailable,
    };
    let shop = Shop::before(BookstoreServiceServer::new(failing), 1, None);
    for (path, rows) in [("/10", 2), ("/books", 2)] {
        let request = Request::get(path).body(Body::empty()).unwrap();
        let response = shop.respond(request).await;
        assert_eq!(response.status(), 200);
        let mut body = response.into_body();
        let mut said = Vec::new();
        let cut = loop {
            match body.frame().await.unwrap() {
                Ok(frame) => said.extend(frame.into_data().unwrap()),
                Err(error) => break error,
            }
        };
        assert!(cut.to_string().contains("on demand"), "{cut}");
        let said = String::from_utf8(said).unwrap();
        let lines: Vec<_> = said.lines().collect();
        assert_eq!(lines.len(), rows + 1, "{said}");
        let last: Value = serde_json::from_str(lines[rows]).unwrap();
        assert_eq!(last["error"]["grpc_code"], "Unavailable");
        assert_eq!(last["error"]["detail"], "on demand");
    }
}

#[tokio::test]
async fn only_so_many_downloads_are_open_and_an_ended_one_makes_room() {
    let shop = Shop::open().await;
    let open = async || {
        let request = Request::get("/10000000").body(Body::empty()).unwrap();
        let response = shop.respond(request).await;
        assert_eq!(response.status(), 200);
        response.into_body()
    };
    let (first, _second) = (open().await, open().await);
    for path in ["/1", "/books"] {
        let refused = shop.get(path).await;
        assert!(
            refused.problem(429).starts_with("2 streams are open"),
            "{path}"
        );
        assert_eq!(refused.headers["retry-after"], "1");
    }
    assert_eq!(shop.get("/books/1").await.status, 200);
    drop(first);
    assert_eq!(shop.get("/1").await.lines().len(), 1);
}
