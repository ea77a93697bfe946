//! `GET /proxy/{name}`: the responses and failures of both upstreams.

use std::sync::Arc;
use std::time::Duration;

use axum::http::StatusCode;
use axum::http::header::{CONTENT_TYPE, RETRY_AFTER};
use serde_json::json;
use tokio::sync::Barrier;
use tonic::{Code, Status};

use crate::fixture::{Edge, Leaves, TIME, problem};

#[tokio::test]
async fn a_response_has_the_values_of_both_upstreams() {
    let edge = Edge::with_leaves(Leaves::default()).await;
    for (path, name) in [
        ("/proxy/Ana", "Ana"),
        ("/proxy/Ana?x=%ff", "Ana"),
        ("/proxy/Jos%C3%A9", "José"),
        ("/proxy/a%2Fb", "a/b"),
        ("/proxy/100%25", "100%"),
    ] {
        let response = edge.get(path).await;
        assert_eq!(response.status, StatusCode::OK, "{path}");
        assert_eq!(response.header(CONTENT_TYPE), Some("application/json"));
        let expected = json!({"name": name, "reversed_name": format!("<{name}>"), "time": TIME});
        assert_eq!(response.json(), expected);
    }
}

#[tokio::test(start_paused = true)]
async fn both_upstreams_are_called_concurrently() {
    let barrier = Some(Arc::new(Barrier::new(2)));
    let edge = Edge::with_leaves(Leaves {
        barrier,
        ..Leaves::default()
    })
    .await;
    // In sequence, the first would wait for the second forever.
    let response = tokio::time::timeout(Duration::from_secs(60), edge.get("/proxy/Ana")).await;
    assert_eq!(response.unwrap().status, StatusCode::OK);
}

#[tokio::test(start_paused = true)]
async fn the_first_failure_is_the_response() {
    let leaves = Leaves {
        revert_name_hangs: true,
        time_error: Some(Status::unavailable("no time")),
        ..Leaves::default()
    };
    let edge = Edge::with_leaves(leaves).await;
    let response = tokio::time::timeout(Duration::from_secs(60), edge.get("/proxy/Ana")).await;
    let mut expected = problem(503, "Service Unavailable", "no time");
    expected["grpc_code"] = json!("Unavailable");
    expected["upstream"] = json!("time");
    response.unwrap().assert_problem(&expected);
}

#[tokio::test]
async fn every_grpc_code_maps_to_a_problem_document() {
    let table = [
        (1, 499, "Client Closed Request", "Canceled"),
        (2, 500, "Internal Server Error", "Unknown"),
        (3, 400, "Bad Request", "InvalidArgument"),
        (4, 504, "Gateway Timeout", "DeadlineExceeded"),
        (5, 404, "Not Found", "NotFound"),
        (6, 409, "Conflict", "AlreadyExists"),
        (7, 403, "Forbidden", "PermissionDenied"),
        (8, 429, "Too Many Requests", "ResourceExhausted"),
        (9, 400, "Bad Request", "FailedPrecondition"),
        (10, 409, "Conflict", "Aborted"),
        (11, 400, "Bad Request", "OutOfRange"),
        (12, 501, "Not Implemented", "Unimplemented"),
        (13, 500, "Internal Server Error", "Internal"),
        (14, 503, "Service Unavailable", "Unavailable"),
        (15, 500, "Internal Server Error", "DataLoss"),
        (16, 401, "Unauthorized", "Unauthenticated"),
    ];
    for (code, status, title, grpc_code) in table {
        let error = Some(Status::new(Code::from_i32(code), "on demand"));
        let edge = Edge::with_leaves(Leaves {
            revert_name_error: error,
            ..Leaves::default()
        })
        .await;
        let response = edge.get("/proxy/Ana").await;
        let mut expected = problem(status, title, "on demand");
        expected["grpc_code"] = json!(grpc_code);
        expected["upstream"] = json!("revert-name");
        response.assert_problem(&expected);
        let retry_after = [429, 503, 504].contains(&status).then_some("1");
        assert_eq!(response.header(RETRY_AFTER), retry_after, "{grpc_code}");
    }
}

#[tokio::test]
async fn control_characters_are_escaped_in_the_response() {
    let edge = Edge::with_leaves(Leaves::default()).await;
    let response = edge.get("/proxy/%00%0a%0d%1b%5b31m%22").await;
    let name = "\0\n\r\u{1b}[31m\"";
    assert_eq!(response.json()["name"], name);
    assert_eq!(response.json()["reversed_name"], format!("<{name}>"));
    assert!(
        response.body.iter().all(|byte| *byte >= b' '),
        "{:?}",
        response.body
    );
}

#[tokio::test]
async fn an_upstreams_message_is_cleaned_and_in_no_header() {
    let error = Some(Status::internal(format!(
        "\u{1b}[31mred\r\nSet-Cookie: a{}",
        "!".repeat(500)
    )));
    let edge = Edge::with_leaves(Leaves {
        time_error: error,
        ..Leaves::default()
    })
    .await;
    let response = edge.get("/proxy/Ana").await;
    let detail = response.json()["detail"].as_str().unwrap().to_owned();
    assert!(detail.starts_with("[31mredSet-Cookie: a!!!"), "{detail}");
    assert_eq!(detail.len(), 256);
    assert_eq!(response.headers.len(), 2, "{:?}", response.headers);
}
