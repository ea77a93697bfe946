//! Books by REST and by gRPC: stored, retrieved, listed.

use axum::http::StatusCode;
use axum::http::header::{CONTENT_TYPE, LOCATION};
use serde_json::{Value, json};
use tonic::Code;
use vitalmesh_proto::bookstore::v1::bookstore_service_server::BookstoreServiceServer;
use vitalmesh_proto::bookstore::v1::{CreateBookRequest, RetrieveBookRequest};

use crate::fixture::{Bookshop, Failing, emma};

#[tokio::test]
async fn a_book_created_by_rest_is_read_by_rest_and_grpc() {
    let bookshop = Bookshop::open().await;
    let created = bookshop.post("application/json", emma().to_string()).await;
    assert_eq!(created.status, 201);
    let mut expected = emma();
    expected["book_id"] = created.json()["book_id"].clone();
    assert_eq!(created.json(), expected);

    let location = created.headers[LOCATION].to_str().unwrap();
    let read = bookshop.get(location).await;
    assert_eq!(
        (read.status, read.json()),
        (StatusCode::OK, expected.clone())
    );
    let book_id = i32::try_from(expected["book_id"].as_i64().unwrap()).unwrap();
    let book = bookshop
        .client()
        .retrieve_book(RetrieveBookRequest { book_id })
        .await
        .unwrap();
    assert_eq!(book.get_ref().title, "Emma");
    assert_eq!(book.get_ref().year, 1815);
}

#[tokio::test]
async fn a_book_created_by_grpc_is_read_by_rest() {
    let bookshop = Bookshop::open().await;
    let request = CreateBookRequest {
        author: "a person".to_owned(),
        link: "http://a".to_owned(),
        pages: 1,
        title: "a book".to_owned(),
        ..CreateBookRequest::default()
    };
    let book_id = bookshop
        .client()
        .create_book(request)
        .await
        .unwrap()
        .into_inner()
        .book_id;
    let expected = json!({
        "book_id": book_id, "author": "a person", "country": "", "language": "",
        "link": "http://a", "pages": 1, "title": "a book", "year": 0,
    });
    assert_eq!(
        bookshop.get(&format!("/books/{book_id}")).await.json(),
        expected
    );
    assert_eq!(
        bookshop.get("/books?start=0&end=0").await.json(),
        json!([expected])
    );
}

#[tokio::test]
async fn an_invalid_id_is_400_and_an_unknown_one_404() {
    let bookshop = Bookshop::open().await;
    for path in [
        "/books/0",
        "/books/-1",
        "/books/x",
        "/books/1.5",
        "/books/2147483648",
    ] {
        assert!(
            bookshop
                .get(path)
                .await
                .problem(400)
                .contains("1 to 2147483647"),
            "{path}"
        );
    }
    let missing = bookshop.get("/books/2147483647").await;
    assert_eq!(missing.problem(404), "there is no book 2147483647");
}

#[tokio::test]
async fn a_list_is_one_array_of_the_requested_years() {
    let bookshop = Bookshop::open().await;
    let all = bookshop.get("/books").await;
    assert_eq!(all.headers[CONTENT_TYPE], "application/json");
    assert!(all.json().as_array().unwrap().len() >= 100);
    let two = bookshop.get("/books?start=-750&end=-725").await.json();
    assert_eq!(
        (&two[0]["title"], &two[1]["title"]),
        (&json!("Iliad"), &json!("Odyssey"))
    );
    assert_eq!(two[2], Value::Null);
    assert_eq!(
        bookshop.get("/books?start=-749&end=-726").await.json(),
        json!([])
    );
}

#[tokio::test]
async fn invalid_years_are_rejected() {
    let bookshop = Bookshop::open().await;
    for (query, reason) in [
        ("start=1", "send both or neither"),
        ("end=1", "send both or neither"),
        ("start=2&end=1", "after end"),
        ("start=x&end=1", "start"),
        ("start=1&end=99999999999", "end"),
        ("start=1&start=2&end=3", "start"),
    ] {
        let response = bookshop.get(&format!("/books?{query}")).await;
        assert!(response.problem(400).contains(reason), "{query}");
    }
}

#[tokio::test]
async fn a_failed_call_is_a_problem_document_with_its_code() {
    for (code, status) in [(Code::Unavailable, 503), (Code::DeadlineExceeded, 504)] {
        let bookshop = Bookshop::over(
            BookstoreServiceServer::new(Failing { rows: 0, code }),
            1,
            None,
        );
        assert_eq!(bookshop.get("/books/1").await.problem(status), "on demand");
        let posted = bookshop.post("application/json", emma().to_string()).await;
        assert_eq!(posted.problem(status), "on demand");
    }
}
