//! The page to try it, the OpenAPI document, and paths that are neither.

use axum::body::Body;
use axum::http::header::{ALLOW, CONTENT_TYPE};
use axum::http::{Method, Request};
use serde_json::json;

use crate::fixture::Bookshop;

#[tokio::test]
async fn unknown_paths_and_wrong_methods_are_problem_documents() {
    let bookshop = Bookshop::open().await;
    assert!(
        bookshop
            .get("/books/1/pages")
            .await
            .problem(404)
            .contains("/openapi.json")
    );
    for (method, path, allowed) in [
        (Method::DELETE, "/books", "GET,HEAD,POST"),
        (Method::PUT, "/books/1", "GET,HEAD"),
        (Method::POST, "/5", "GET,HEAD"),
    ] {
        let request = Request::builder().method(method).uri(path);
        let response = bookshop.ask(request.body(Body::empty()).unwrap()).await;
        assert!(response.problem(405).contains("allow header"), "{path}");
        let allow = response.headers[ALLOW].to_str().unwrap();
        let mut methods: Vec<_> = allow.split(',').collect();
        methods.sort_unstable();
        assert_eq!(methods.join(","), allowed, "{path}");
    }
}

#[tokio::test]
async fn the_document_is_openapi_3_1_and_has_every_route() {
    let bookshop = Bookshop::open().await;
    let document = bookshop.get("/openapi.json").await;
    assert_eq!(document.headers[CONTENT_TYPE], "application/json");
    let document = document.json();
    assert_eq!(document["openapi"], "3.1.0");
    let paths = document["paths"].as_object().unwrap();
    let routes: Vec<_> = paths
        .iter()
        .flat_map(|(path, methods)| {
            let methods = methods.as_object().unwrap().keys();
            methods.map(move |method| format!("{method} {path}"))
        })
        .collect();
    let expected = [
        "get /books",
        "post /books",
        "get /books/{book_id}",
        "get /{n}",
    ];
    assert_eq!(routes, expected);
    let count = &document["paths"]["/{n}"]["get"]["parameters"][0]["schema"];
    assert_eq!(
        (&count["minimum"], &count["maximum"]),
        (&json!(1), &json!(10_000_000))
    );
}

#[tokio::test]
async fn the_page_loads_nothing_from_other_hosts() {
    let bookshop = Bookshop::open().await;
    let page = bookshop.get("/").await;
    assert!(
        page.headers[CONTENT_TYPE]
            .to_str()
            .unwrap()
            .starts_with("text/html")
    );
    let policy = page.headers["content-security-policy"].to_str().unwrap();
    assert!(policy.starts_with("default-src 'none'"), "{policy}");
    let page = String::from_utf8(page.body).unwrap();
    assert!(page.contains("fetch(\"/openapi.json\")"));
    assert!(!page.contains("http://") && !page.contains("https://"));
}
