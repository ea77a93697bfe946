//! Requests that reach no upstream, and those without a body.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use axum::http::Method;
use axum::http::header::{ALLOW, CONTENT_TYPE};

use crate::fixture::{Edge, Leaves, problem};

#[tokio::test]
async fn head_responds_as_get_without_a_body() {
    let edge = Edge::with_leaves(Leaves::default()).await;
    for (path, status) in [
        ("/proxy/Ana", 200),
        ("/heartbeats", 200),
        ("/proxy/%ff", 400),
    ] {
        let get = edge.get(path).await;
        let head = edge.ask(Method::HEAD, path).await;
        assert_eq!(head.status, status, "{path}");
        assert_eq!(
            head.headers[CONTENT_TYPE], get.headers[CONTENT_TYPE],
            "{path}"
        );
        assert!(head.body.is_empty(), "{path}");
    }
}

#[tokio::test]
async fn an_invalid_name_is_rejected_with_400_and_calls_no_upstream() {
    let leaves = Leaves::default();
    let calls = Arc::clone(&leaves.calls);
    let edge = Edge::with_leaves(leaves).await;
    let not_utf8 = "the name is not UTF-8; percent-encode the bytes of its UTF-8 form";
    let escape = "the path has a '%' without two hexadecimal digits; write it as %25";
    for (name, detail) in [
        ("%ff", not_utf8),
        ("%C0%AF", not_utf8),
        ("a%ED%A0%80", not_utf8),
        ("%", escape),
        ("50%", escape),
        ("%zz", escape),
        (
            &"a".repeat(257),
            "the name has 257 grapheme clusters; send at most 256",
        ),
        (
            &"%20".repeat(1025),
            "the name has 1025 bytes; send at most 1024",
        ),
        (
            &"a".repeat(60_000),
            "the name has 60000 bytes; send at most 1024",
        ),
    ] {
        let response = edge.get(&format!("/proxy/{name}")).await;
        response.assert_problem(&problem(400, "Bad Request", detail));
    }
    assert_eq!(calls.load(Ordering::Relaxed), 0);
    assert_eq!(
        edge.get(&format!("/proxy/{}", "a".repeat(256)))
            .await
            .status,
        200
    );
    assert_eq!(calls.load(Ordering::Relaxed), 2);
}

#[tokio::test]
async fn an_unknown_path_is_404() {
    let edge = Edge::with_leaves(Leaves::default()).await;
    let expected = problem(
        404,
        "Not Found",
        "unknown path; try /proxy/Ana or /heartbeats",
    );
    for path in [
        "/",
        "/proxy",
        "/proxy/",
        "/proxy//",
        "/proxy/a/b",
        "/heartbeats/time",
        "/%ff",
        "/%",
        "/..%2f..%2fetc%2fpasswd",
    ] {
        edge.get(path).await.assert_problem(&expected);
    }
    let posted = edge.ask(Method::POST, "/nothing").await;
    posted.assert_problem(&expected);
}

#[tokio::test]
async fn a_wrong_method_is_405_with_the_allowed_ones() {
    let edge = Edge::with_leaves(Leaves::default()).await;
    let detail = "the path does not allow this method; see the allow header";
    let expected = problem(405, "Method Not Allowed", detail);
    for path in ["/proxy/Ana", "/proxy/%ff", "/heartbeats"] {
        for method in ["POST", "PUT", "DELETE", "PATCH", "OPTIONS", "TRACE", "FOO"] {
            let response = edge
                .ask(Method::from_bytes(method.as_bytes()).unwrap(), path)
                .await;
            response.assert_problem(&expected);
            assert_eq!(response.header(ALLOW), Some("GET,HEAD"), "{method} {path}");
        }
    }
}
