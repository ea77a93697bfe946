//! The REST route, with valid and invalid requests.
#![expect(clippy::unwrap_used, reason = "tests fail by panicking")]

use axum::body::Body;
use axum::http::header::{ALLOW, CONTENT_TYPE};
use axum::http::{HeaderMap, Method, Request};
use http_body_util::BodyExt;
use serde_json::{Value, json};
use tower::ServiceExt;
use vitalmesh_counter::router;

async fn send(method: Method, path: &str) -> (u16, HeaderMap, Vec<u8>) {
    let request = Request::builder().method(method).uri(path);
    let request = request.body(Body::empty()).unwrap();
    let (head, body) = router().oneshot(request).await.unwrap().into_parts();
    let body = body.collect().await.unwrap().to_bytes().to_vec();
    (head.status.as_u16(), head.headers, body)
}

async fn get(path: &str) -> (u16, String, Value) {
    let (status, headers, body) = send(Method::GET, path).await;
    let content_type = headers[CONTENT_TYPE].to_str().unwrap().to_owned();
    (status, content_type, serde_json::from_slice(&body).unwrap())
}

fn problem(status: u16, title: &str, detail: &str) -> Value {
    json!({"type": "about:blank", "title": title, "status": status, "detail": detail})
}

#[tokio::test]
async fn the_response_is_the_next_number() {
    for (path, next) in [
        ("/increase/0", 1),
        ("/increase/41", 42),
        ("/increase/-1", 0),
        ("/increase/%31", 2),
        ("/increase/-2147483648", i32::MIN + 1),
        ("/increase/2147483646", i32::MAX),
    ] {
        let json = "application/json".to_owned();
        assert_eq!(get(path).await, (200, json, json!({"num": next})), "{path}");
    }
}

#[tokio::test]
async fn other_segments_are_problem_documents_that_name_the_range() {
    let detail = "the last segment of the path is not an int32; send -2147483648 to 2147483646";
    let expected = problem(400, "Bad Request", detail);
    for path in [
        "/increase/2147483648",
        "/increase/-2147483649",
        "/increase/Ana",
        "/increase/1.5",
        "/increase/%20",
        "/increase/%ff",
        "/increase/1%2F2",
    ] {
        let json = "application/problem+json".to_owned();
        assert_eq!(get(path).await, (400, json, expected.clone()), "{path}");
    }
}

#[tokio::test]
async fn the_last_int32_is_out_of_range() {
    let (status, content_type, body) = get("/increase/2147483647").await;
    let detail = "no int32 comes after 2147483647; send at most 2147483646";
    let expected = problem(400, "Bad Request", detail);
    assert_eq!(
        (status, content_type.as_str()),
        (400, "application/problem+json")
    );
    assert_eq!(body, expected);
}

#[tokio::test]
async fn unknown_paths_and_wrong_methods_are_problem_documents() {
    for path in [
        "/",
        "/increase",
        "/increase/",
        "/increase//",
        "/increase/1/2",
    ] {
        let (status, content_type, body) = get(path).await;
        let expected = problem(404, "Not Found", "unknown path; try /increase/1");
        assert_eq!(
            (status, content_type.as_str()),
            (404, "application/problem+json")
        );
        assert_eq!(body, expected, "{path}");
    }
    let (status, headers, body) = send(Method::POST, "/increase/1").await;
    assert_eq!(status, 405);
    assert_eq!(headers[ALLOW], "GET,HEAD");
    let detail = "the path does not allow this method; see the allow header";
    let expected = problem(405, "Method Not Allowed", detail);
    assert_eq!(serde_json::from_slice::<Value>(&body).unwrap(), expected);
}
