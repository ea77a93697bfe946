//! `GET /proxy/{name}`: its responses, its errors and its rejections.

use http::Request;
use serde_json::{Value, json};
use vitalmesh_tests::{Mesh, get, send};

/// Every code but OK: the name that requests it, its name in problem documents, its HTTP status.
const FAULTS: [(&str, &str, u16); 16] = [
    ("cancelled", "Canceled", 499),
    ("unknown", "Unknown", 500),
    ("invalid_argument", "InvalidArgument", 400),
    ("deadline_exceeded", "DeadlineExceeded", 504),
    ("not_found", "NotFound", 404),
    ("already_exists", "AlreadyExists", 409),
    ("permission_denied", "PermissionDenied", 403),
    ("resource_exhausted", "ResourceExhausted", 429),
    ("failed_precondition", "FailedPrecondition", 400),
    ("aborted", "Aborted", 409),
    ("out_of_range", "OutOfRange", 400),
    ("unimplemented", "Unimplemented", 501),
    ("internal", "Internal", 500),
    ("unavailable", "Unavailable", 503),
    ("data_loss", "DataLoss", 500),
    ("unauthenticated", "Unauthenticated", 401),
];

#[tokio::test]
async fn a_name_is_reversed_beside_the_time() {
    let mesh = Mesh::start().await;
    for (path, name, reversed) in [
        ("/proxy/Ana", "Ana", "anA"),
        ("/proxy/Ana/", "Ana", "anA"),
        ("/proxy/Ren%65%CC%81", "Rene\u{301}", "e\u{301}neR"),
        ("/proxy/%C3%A9t%C3%A9", "été", "été"),
        ("/proxy/%F0%9F%87%A9%F0%9F%87%AAx", "🇩🇪x", "x🇩🇪"),
        (
            "/proxy/%F0%9F%91%A8%E2%80%8D%F0%9F%91%A9%E2%80%8D%F0%9F%91%A7!",
            "👨‍👩‍👧!",
            "!👨‍👩‍👧",
        ),
        ("/proxy/a%2Fb%20c%3F", "a/b c?", "?c b/a"),
        ("/proxy/a+b", "a+b", "b+a"),
        ("/proxy/100%25", "100%", "%001"),
        ("/proxy/a%0D%0Ab%00", "a\r\nb\0", "\0b\r\na"),
        ("/proxy/Ana?name=Bob", "Ana", "anA"),
        ("/proxy/not%20found", "not found", "dnuof ton"),
    ] {
        let response = get(mesh.http(), path).await;
        assert_eq!(response.status, 200, "{path}: {}", response.body);
        assert_eq!(response.header("content-type"), "application/json");
        let Value::Object(mut body) = response.json() else {
            panic!("{path}: {}", response.body)
        };
        let time = body.remove("time").unwrap();
        let expected = json!({"name": name, "reversed_name": reversed});
        assert_eq!(Value::Object(body), expected, "{path}");
        assert_eq!(
            shape(time.as_str().unwrap()),
            "0000-00-00T00:00:00.000000+00:00"
        );
    }
}

/// A time with 0 for each digit and + for either sign.
fn shape(time: &str) -> String {
    let plain = |c: char| match c {
        '0'..='9' => '0',
        '-' => '-',
        c => c,
    };
    let (day, rest) = time.split_once('T').unwrap_or(("", time));
    let day: String = day.chars().map(plain).collect();
    let rest: String = rest.chars().map(plain).collect();
    format!("{day}T{}", rest.replace('-', "+"))
}

#[tokio::test]
async fn every_fault_has_its_status_code_and_upstream() {
    let mesh = Mesh::start().await;
    for (name, code, status) in FAULTS {
        for name in [name.to_owned(), name.to_uppercase(), mixed(name)] {
            let response = get(mesh.http(), &format!("/proxy/{name}")).await;
            let body = response.json();
            let actual = (
                response.status,
                &body["status"],
                &body["grpc_code"],
                &body["upstream"],
            );
            let expected = (status, &json!(status), &json!(code), &json!("revert-name"));
            assert_eq!(actual, expected, "{name}: {}", response.body);
            assert_eq!(response.header("content-type"), "application/problem+json");
            let retry = matches!(status, 429 | 503 | 504);
            assert_eq!(
                response.header("retry-after"),
                if retry { "1" } else { "" },
                "{name}"
            );
        }
    }
}

/// `not_found` → `nOt_fOuNd`.
fn mixed(name: &str) -> String {
    let mixed = name.char_indices().map(|(at, c)| match at % 2 {
        0 => c,
        _ => c.to_ascii_uppercase(),
    });
    mixed.collect()
}

#[tokio::test]
async fn a_panic_in_a_leaf_is_internal_and_fails_one_request() {
    let mesh = Mesh::start().await;
    for name in ["exception", "key_error", "Exception", "KEY_ERROR"] {
        let response = get(mesh.http(), &format!("/proxy/{name}")).await;
        let body = response.json();
        assert_eq!(
            (response.status, &body["grpc_code"]),
            (500, &json!("Internal")),
            "{name}"
        );
        assert_eq!(body["upstream"], "revert-name");
        assert_eq!(get(mesh.http(), "/proxy/Ana").await.status, 200);
    }
}

#[tokio::test]
async fn without_faults_every_name_is_reversed() {
    let mesh = Mesh::start().await;
    let address = mesh.revert_name.addresses().grpc.to_string();
    mesh.revert_name.stop().await;
    let flags = ["--grpc-address", &address, "--faults", "false"];
    let _revert_name = vitalmesh_tests::revert_name(&flags).start().await.unwrap();
    let http = mesh.edge.addresses().http.unwrap();
    for (name, reversed) in [("internal", "lanretni"), ("exception", "noitpecxe")] {
        let response = vitalmesh_tests::eventually("a response", async || {
            let response = get(http, &format!("/proxy/{name}")).await;
            (response.status != 503).then_some(response)
        });
        assert_eq!(response.await.json()["reversed_name"], reversed);
    }
}

#[tokio::test]
async fn a_name_is_accepted_up_to_its_limits() {
    let mesh = Mesh::start().await;
    let e_acute = "e%CC%81";
    let emoji = "%F0%9F%91%8D%F0%9F%8F%BD";
    for (name, status, detail) in [
        ("a".repeat(256), 200, ""),
        (e_acute.repeat(256), 200, ""),
        (emoji.repeat(128), 200, ""),
        ("a".repeat(257), 400, "257 grapheme clusters"),
        (e_acute.repeat(257), 400, "257 grapheme clusters"),
        (emoji.repeat(128) + "a", 400, "1025 bytes"),
        ("%ff".to_owned(), 400, "not UTF-8"),
        ("%C3".to_owned(), 400, "not UTF-8"),
        ("%C0%AF".to_owned(), 400, "not UTF-8"),
        ("%".to_owned(), 400, "hexadecimal"),
        ("%4".to_owned(), 400, "hexadecimal"),
        ("%zz".to_owned(), 400, "hexadecimal"),
    ] {
        let with_slash = get(mesh.http(), &format!("/proxy/{name}/")).await;
        let response = get(mesh.http(), &format!("/proxy/{name}")).await;
        assert_eq!(response.status, status, "{name}: {}", response.body);
        assert_eq!(with_slash.status, status, "{name}: {}", with_slash.body);
        if status == 400 {
            assert_eq!(with_slash.body, response.body);
            let body = response.json();
            assert_eq!(response.header("content-type"), "application/problem+json");
            assert!(body["detail"].as_str().unwrap().contains(detail), "{body}");
            assert_eq!(
                (&body["grpc_code"], &body["upstream"]),
                (&Value::Null, &Value::Null)
            );
        }
    }
}

#[tokio::test]
async fn unknown_paths_are_404_problem_documents() {
    let mesh = Mesh::start().await;
    for path in [
        "/",
        "/nothing",
        "/proxy",
        "/proxy/",
        "/proxy//",
        "/proxy/a/b",
        "/Proxy/Ana",
        "/metrics",
    ] {
        let response = get(mesh.http(), path).await;
        assert_eq!(response.status, 404, "{path}: {}", response.body);
        assert_eq!(response.header("content-type"), "application/problem+json");
        let body = response.json();
        assert_eq!(
            (&body["title"], &body["status"]),
            (&json!("Not Found"), &json!(404))
        );
        assert!(!response.body.contains("nothing/"), "{}", response.body);
    }
}

#[tokio::test]
async fn wrong_methods_are_405_problem_documents_with_the_allowed_ones() {
    let mesh = Mesh::start().await;
    for path in ["/proxy/Ana", "/proxy/Ana/", "/heartbeats"] {
        for method in ["POST", "PUT", "DELETE", "PATCH", "OPTIONS", "BREW"] {
            let request = Request::builder().method(method).uri(path);
            let response = send(mesh.http(), request).await.unwrap();
            assert_eq!(
                (response.status, response.header("allow")),
                (405, "GET,HEAD"),
                "{method} {path}"
            );
            let content_type = response.header("content-type");
            assert_eq!(content_type, "application/problem+json", "{method} {path}");
            assert_eq!(response.json()["status"], 405);
        }
    }
}

#[tokio::test]
async fn a_head_request_has_a_response_without_a_body() {
    let mesh = Mesh::start().await;
    let response = send(mesh.http(), Request::head("/proxy/Ana"))
        .await
        .unwrap();
    assert_eq!((response.status, response.body.as_str()), (200, ""));
}
