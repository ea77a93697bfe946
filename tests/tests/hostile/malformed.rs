//! Requests that are no gRPC calls, hold no message, or are too long.

use http::Request;
use tonic::Code;
use vitalmesh_tests::{Wire, edge, get, scrape, send};

use crate::fixture::{METHOD, leaf, post, raw, revert};

#[tokio::test]
async fn requests_that_are_not_grpc_are_rejected_before_the_handler() {
    let leaf = leaf(&[]).await;
    let wire = Wire::connect(leaf.addresses().grpc).await;
    let call = [0, 0, 0, 0, 5, 0x0a, 3, b'A', b'n', b'a'];
    for content_type in [
        "text/plain",
        "application/json",
        "application/x-www-form-urlencoded",
        "",
    ] {
        let response = raw(&wire, post(&wire, content_type), &call).await;
        assert_eq!(response.status(), 415, "{content_type}");
    }
    for method in ["GET", "PUT", "DELETE", "OPTIONS"] {
        let request = post(&wire, "application/grpc").method(method);
        let response = raw(&wire, request, &call).await;
        assert_eq!(
            (response.status().as_u16(), &response.headers()["allow"]),
            (405, &"POST".parse().unwrap())
        );
    }
    let http1 = get(leaf.addresses().grpc, METHOD).await;
    assert_eq!((http1.status, http1.header("allow")), (405, "POST"));
    let response = raw(&wire, post(&wire, "application/grpc"), &call).await;
    assert_eq!(response.status(), 200);
}

#[tokio::test]
async fn an_invalid_message_fails_its_call_and_not_the_connection() {
    let leaf = leaf(&[]).await;
    let wire = Wire::connect(leaf.addresses().grpc).await;
    for (what, body, code) in [
        (
            "a field cut short",
            [0, 0, 0, 0, 2, 0x0a, 9].as_slice(),
            Code::InvalidArgument,
        ),
        (
            "a name that is not UTF-8",
            &[0, 0, 0, 0, 3, 0x0a, 1, 0xff],
            Code::InvalidArgument,
        ),
        ("an unknown flag", &[7, 0, 0, 0, 0], Code::InvalidArgument),
        ("no message", &[], Code::InvalidArgument),
        (
            "a message cut short",
            &[0, 0, 0, 0, 9, 0x0a],
            Code::InvalidArgument,
        ),
        (
            "a compressed message without an encoding",
            &[1, 0, 0, 0, 0],
            Code::InvalidArgument,
        ),
    ] {
        let response = raw(&wire, post(&wire, "application/grpc"), body).await;
        assert_eq!(response.status(), 200);
        let status = tonic::Status::from_header_map(response.headers()).unwrap();
        assert_eq!(status.code(), code, "{what}: {status}");
    }
    for (encoding, code) in [
        ("gzip", Code::InvalidArgument),
        ("snappy", Code::Unimplemented),
    ] {
        let empty = post(&wire, "application/grpc").header("grpc-encoding", encoding);
        let response = raw(&wire, empty, &[1, 0, 0, 0, 0]).await;
        let status = tonic::Status::from_header_map(response.headers()).unwrap();
        assert_eq!(status.code(), code, "{encoding}: {status}");
    }
    assert_eq!(revert(&wire, "Ana", 0).await, Ok("anA".to_owned()));
}

#[tokio::test]
async fn no_mistake_of_a_caller_is_a_fault_of_the_service() {
    let leaf = leaf(&[]).await;
    let wire = Wire::connect(leaf.addresses().grpc).await;
    let call = [0, 0, 0, 0, 5, 0x0a, 3, b'A', b'n', b'a'];
    for _ in 0..10 {
        for method in ["GET", "OPTIONS"] {
            let request = post(&wire, "application/grpc").method(method);
            raw(&wire, request, &call).await;
        }
        for content_type in ["application/grpc-web+proto", "application/grpcx"] {
            raw(&wire, post(&wire, content_type), &call).await;
        }
        let snappy = post(&wire, "application/grpc").header("grpc-encoding", "snappy");
        raw(&wire, snappy, &call).await;
        for malformed in [
            &[0, 0, 0, 0, 2, 0x0a, 9][..],
            &[7, 0, 0, 0, 0],
            &[],
            &[0, 0],
        ] {
            raw(&wire, post(&wire, "application/grpc"), malformed).await;
        }
    }
    raw(&wire, post(&wire, "Application/gRPC"), &call).await;

    let page = scrape(leaf.addresses().scrape).await;
    for (reason, count) in [("method", 20.0), ("content_type", 20.0), ("encoding", 10.0)] {
        let series = format!("mesh_requests_rejected_total{{reason=\"{reason}\"}}");
        assert_eq!(page.value(&series), Some(count), "{series}");
    }
    let labels = "grpc_method=\"RevertName\",\
                  grpc_service=\"vitalmesh.revert_name.v1.RevertNameService\",grpc_type=\"unary\"";
    let faults = [
        "Unknown",
        "DeadlineExceeded",
        "Unimplemented",
        "Internal",
        "Unavailable",
        "DataLoss",
        "ResourceExhausted",
    ];
    let expected = faults.into_iter().map(|fault| (fault, 0.0));
    for (code, count) in expected.chain([("InvalidArgument", 40.0), ("OK", 1.0)]) {
        let series = format!("grpc_server_handled_total{{grpc_code=\"{code}\",{labels}}}");
        assert_eq!(page.value(&series), Some(count), "{code}");
    }
}

#[tokio::test]
async fn heads_that_are_too_long_are_431_or_414() {
    let data = tempfile::tempdir().unwrap();
    let edge = edge(data.path(), &[]).start().await.unwrap();
    let http = edge.addresses().http.unwrap();
    let long = Request::get("/heartbeats").header("x-long", "a".repeat(20_000));
    assert_eq!(send(http, long).await.unwrap().status, 431);
    let mut many = Request::get("/heartbeats");
    for number in 0..70 {
        many = many.header(format!("x-{number}"), "a");
    }
    assert_eq!(send(http, many).await.unwrap().status, 431);
    let path = Request::get(format!("/proxy/{}", "a".repeat(60_000)));
    let status = send(http, path).await.unwrap().status;
    assert!(matches!(status, 414 | 431), "{status}");

    let wire = Wire::connect(edge.addresses().grpc).await;
    let long = post(&wire, "application/grpc").header("x-long", "a".repeat(20_000));
    assert_eq!(raw(&wire, long, &[]).await.status(), 431);
}
