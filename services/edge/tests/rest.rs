//! The REST side before leaves that answer what a test says.

#![expect(clippy::unwrap_used, reason = "helpers of tests are tests")]

use std::future;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::http::header::{ALLOW, CONTENT_TYPE, RETRY_AFTER};
use axum::http::{HeaderMap, Method, StatusCode};
use http_body_util::BodyExt;
use jiff::Timestamp;
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::sync::Barrier;
use tonic::service::Routes;
use tonic::{Code, Request, Response, Status};
use tower::ServiceExt;
use vitalmesh_edge::{Beat, Roster, Store, StoreSettings, Upstreams, router};
use vitalmesh_proto::revert_name::v1::revert_name_service_client::RevertNameServiceClient;
use vitalmesh_proto::revert_name::v1::revert_name_service_server::{
    RevertNameService, RevertNameServiceServer,
};
use vitalmesh_proto::revert_name::v1::{RevertNameRequest, RevertNameResponse};
use vitalmesh_proto::time::v1::time_service_client::TimeServiceClient;
use vitalmesh_proto::time::v1::time_service_server::{TimeService, TimeServiceServer};
use vitalmesh_proto::time::v1::{WhatTimeIsRequest, WhatTimeIsResponse};

const TIME: &str = "2026-11-21T12:00:00.000000+00:00";

/// Both leaves. Answers `<name>` and `TIME` unless told otherwise.
#[derive(Clone, Debug, Default)]
struct Leaves {
    revert_name_fails: Option<Status>,
    revert_name_hangs: bool,
    time_fails: Option<Status>,
    /// Where the two calls of one request wait for each other.
    meeting: Option<Arc<Barrier>>,
    calls: Arc<AtomicUsize>,
}

/// The edge with a store of its own.
struct Edge {
    router: Router,
    store: Store,
    _folder: TempDir,
}

struct Answer {
    status: StatusCode,
    headers: HeaderMap,
    body: Vec<u8>,
}

// === impl Leaves ===

impl Leaves {
    async fn called(&self) {
        self.calls.fetch_add(1, Ordering::Relaxed);
        if let Some(meeting) = &self.meeting {
            meeting.wait().await;
        }
    }
}

#[tonic::async_trait]
impl RevertNameService for Leaves {
    async fn revert_name(
        &self,
        request: Request<RevertNameRequest>,
    ) -> Result<Response<RevertNameResponse>, Status> {
        self.called().await;
        if self.revert_name_hangs {
            future::pending::<()>().await;
        }
        if let Some(status) = &self.revert_name_fails {
            return Err(status.clone());
        }
        let RevertNameRequest { name, delay } = request.into_inner();
        assert_eq!(delay, 0);
        let name = format!("<{name}>");
        Ok(Response::new(RevertNameResponse { name }))
    }
}

#[tonic::async_trait]
impl TimeService for Leaves {
    async fn what_time_is(
        &self,
        _: Request<WhatTimeIsRequest>,
    ) -> Result<Response<WhatTimeIsResponse>, Status> {
        self.called().await;
        match &self.time_fails {
            Some(status) => Err(status.clone()),
            None => Ok(Response::new(WhatTimeIsResponse {
                time: TIME.to_owned(),
            })),
        }
    }
}

// === impl Edge ===

impl Edge {
    async fn before(leaves: Leaves) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(folder.path(), StoreSettings::default())
            .await
            .unwrap();
        let channel = Routes::new(RevertNameServiceServer::new(leaves.clone()))
            .add_service(TimeServiceServer::new(leaves));
        let upstreams = Upstreams {
            revert_name: RevertNameServiceClient::new(channel.clone()),
            time: TimeServiceClient::new(channel),
        };
        let roster = Roster::new(store.clone(), &[("time", Duration::from_secs(10))]);
        Self {
            router: router(upstreams, roster),
            store,
            _folder: folder,
        }
    }

    async fn get(&self, path: &str) -> Answer {
        self.ask(Method::GET, path).await
    }

    async fn ask(&self, method: Method, path: &str) -> Answer {
        let request = axum::http::Request::builder()
            .method(method)
            .uri(path)
            .body(Body::empty())
            .unwrap();
        let (head, body) = self
            .router
            .clone()
            .oneshot(request)
            .await
            .unwrap()
            .into_parts();
        Answer {
            status: head.status,
            headers: head.headers,
            body: body.collect().await.unwrap().to_bytes().to_vec(),
        }
    }
}

// === impl Answer ===

impl Answer {
    fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap()
    }

    fn header(&self, name: impl axum::http::header::AsHeaderName) -> Option<&str> {
        self.headers.get(name).map(|value| value.to_str().unwrap())
    }

    fn is_problem(&self, expected: &Value) {
        assert_eq!(self.header(CONTENT_TYPE), Some("application/problem+json"));
        assert_eq!(self.json(), *expected);
        assert_eq!(expected["status"], self.status.as_u16());
    }
}

fn problem(status: u16, title: &str, detail: &str) -> Value {
    json!({"type": "about:blank", "title": title, "status": status, "detail": detail})
}

#[tokio::test]
async fn a_name_is_answered_with_both_upstreams_answers() {
    let edge = Edge::before(Leaves::default()).await;
    for (path, name) in [
        ("/proxy/Ana", "Ana"),
        ("/proxy/Ana/", "Ana"),
        ("/proxy/Ana?x=%ff", "Ana"),
        ("/proxy/Jos%C3%A9", "José"),
        ("/proxy/a%2Fb", "a/b"),
        ("/proxy/100%25", "100%"),
    ] {
        let answer = edge.get(path).await;
        assert_eq!(answer.status, StatusCode::OK, "{path}");
        assert_eq!(answer.header(CONTENT_TYPE), Some("application/json"));
        let expected = json!({"name": name, "reversed_name": format!("<{name}>"), "time": TIME});
        assert_eq!(answer.json(), expected);
    }
}

#[tokio::test]
async fn head_answers_as_get_without_a_body() {
    let edge = Edge::before(Leaves::default()).await;
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

#[tokio::test(start_paused = true)]
async fn both_upstreams_are_asked_at_once() {
    let meeting = Some(Arc::new(Barrier::new(2)));
    let edge = Edge::before(Leaves {
        meeting,
        ..Leaves::default()
    })
    .await;
    // One after the other, the first would wait for the second for ever.
    let answer = tokio::time::timeout(Duration::from_secs(60), edge.get("/proxy/Ana")).await;
    assert_eq!(answer.unwrap().status, StatusCode::OK);
}

#[tokio::test(start_paused = true)]
async fn the_first_failure_answers() {
    let leaves = Leaves {
        revert_name_hangs: true,
        time_fails: Some(Status::unavailable("no time")),
        ..Leaves::default()
    };
    let edge = Edge::before(leaves).await;
    let answer = tokio::time::timeout(Duration::from_secs(60), edge.get("/proxy/Ana")).await;
    let mut expected = problem(503, "Service Unavailable", "no time");
    expected["grpc_code"] = json!("Unavailable");
    expected["upstream"] = json!("time");
    answer.unwrap().is_problem(&expected);
}

#[tokio::test]
async fn every_code_of_an_upstream_has_its_problem() {
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
        let fails = Some(Status::new(Code::from_i32(code), "on demand"));
        let edge = Edge::before(Leaves {
            revert_name_fails: fails,
            ..Leaves::default()
        })
        .await;
        let answer = edge.get("/proxy/Ana").await;
        let mut expected = problem(status, title, "on demand");
        expected["grpc_code"] = json!(grpc_code);
        expected["upstream"] = json!("revert-name");
        answer.is_problem(&expected);
        let retry_after = [429, 503, 504].contains(&status).then_some("1");
        assert_eq!(answer.header(RETRY_AFTER), retry_after, "{grpc_code}");
    }
}

#[tokio::test]
async fn a_name_out_of_bounds_is_400_and_reaches_no_upstream() {
    let leaves = Leaves::default();
    let calls = Arc::clone(&leaves.calls);
    let edge = Edge::before(leaves).await;
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
        for slash in ["", "/"] {
            let answer = edge.get(&format!("/proxy/{name}{slash}")).await;
            answer.is_problem(&problem(400, "Bad Request", detail));
        }
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
async fn control_characters_pass_and_leave_escaped() {
    let edge = Edge::before(Leaves::default()).await;
    let answer = edge.get("/proxy/%00%0a%0d%1b%5b31m%22").await;
    let name = "\0\n\r\u{1b}[31m\"";
    assert_eq!(answer.json()["name"], name);
    assert_eq!(answer.json()["reversed_name"], format!("<{name}>"));
    assert!(
        answer.body.iter().all(|byte| *byte >= b' '),
        "{:?}",
        answer.body
    );
}

#[tokio::test]
async fn an_upstreams_text_is_cleaned_and_in_no_header() {
    let fails = Some(Status::internal(format!(
        "\u{1b}[31mred\r\nSet-Cookie: a{}",
        "!".repeat(500)
    )));
    let edge = Edge::before(Leaves {
        time_fails: fails,
        ..Leaves::default()
    })
    .await;
    let answer = edge.get("/proxy/Ana").await;
    let detail = answer.json()["detail"].as_str().unwrap().to_owned();
    assert!(detail.starts_with("[31mredSet-Cookie: a!!!"), "{detail}");
    assert_eq!(detail.len(), 256);
    assert_eq!(answer.headers.len(), 2, "{:?}", answer.headers);
}

#[tokio::test]
async fn an_unknown_path_is_404() {
    let edge = Edge::before(Leaves::default()).await;
    let expected = problem(
        404,
        "Not Found",
        "nothing is here; try /proxy/Ana or /heartbeats",
    );
    for path in [
        "/",
        "/proxy",
        "/proxy/",
        "/proxy//",
        "/proxy/a/b",
        "/heartbeats/",
        "/heartbeats/time",
        "/%ff",
        "/%",
        "/..%2f..%2fetc%2fpasswd",
    ] {
        edge.get(path).await.is_problem(&expected);
    }
    let posted = edge.ask(Method::POST, "/nothing").await;
    posted.is_problem(&expected);
}

#[tokio::test]
async fn a_wrong_method_is_405_and_told_the_right_ones() {
    let edge = Edge::before(Leaves::default()).await;
    let detail = "this path does not have this method; see the allow header";
    let expected = problem(405, "Method Not Allowed", detail);
    for path in ["/proxy/Ana", "/proxy/Ana/", "/proxy/%ff", "/heartbeats"] {
        for method in ["POST", "PUT", "DELETE", "PATCH", "OPTIONS", "TRACE", "FOO"] {
            let answer = edge
                .ask(Method::from_bytes(method.as_bytes()).unwrap(), path)
                .await;
            answer.is_problem(&expected);
            assert_eq!(answer.header(ALLOW), Some("GET,HEAD"), "{method} {path}");
        }
    }
}

#[tokio::test]
async fn heartbeats_lists_who_is_expected_and_who_was_seen() {
    let edge = Edge::before(Leaves::default()).await;
    let beat = Beat {
        service: "bookstore".to_owned(),
        instance: "one".to_owned(),
        version: String::new(),
        started_at: Some("2026-11-21T12:00:00Z".parse().unwrap()),
        interval: Some(Duration::from_millis(2500)),
        sequence: 1,
        vital_signs: None,
        received_at: Timestamp::UNIX_EPOCH,
    };
    edge.store.beat(beat).await.unwrap();

    let before = Timestamp::now().as_second();
    let answer = edge.get("/heartbeats").await;

    assert_eq!(answer.status, StatusCode::OK);
    let mut body = answer.json();
    let age = body["services"][0]["age_seconds"].take().as_f64().unwrap();
    assert!((0.0..60.0).contains(&(age - before as f64)), "{age}");
    let expected = json!({"services": [
        {
            "service": "bookstore", "instance": "one", "version": null,
            "last_seen": "1970-01-01T00:00:00Z", "age_seconds": null, "interval_seconds": 2.5,
            "started_at": "2026-11-21T12:00:00Z", "beats": 1, "late": true,
        },
        {
            "service": "time", "instance": null, "version": null,
            "last_seen": null, "age_seconds": null, "interval_seconds": 10.0,
            "started_at": null, "beats": 0, "late": false,
        },
    ]});
    assert_eq!(body, expected);
}
