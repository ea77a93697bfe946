//! Calls to a leaf without the edge: deadlines, delays, rejections, unknown services.

use std::time::Duration;

use futures_util::future::join_all;
use tonic::metadata::MetadataValue;
use tonic::{Code, Request, Status};
use vitalmesh_proto::revert_name::v1::RevertNameRequest;
use vitalmesh_proto::revert_name::v1::revert_name_service_client::RevertNameServiceClient;
use vitalmesh_proto::time::v1::WhatTimeIsRequest;
use vitalmesh_proto::time::v1::time_service_client::TimeServiceClient;
use vitalmesh_tests::{Wire, channel, revert_name, within};

async fn revert(
    wire: &Wire,
    name: &str,
    delay: i32,
    timeout: Option<&'static str>,
) -> Result<String, Status> {
    let name = name.to_owned();
    let mut request = Request::new(RevertNameRequest { name, delay });
    if let Some(timeout) = timeout {
        let timeout = MetadataValue::from_static(timeout);
        request.metadata_mut().insert("grpc-timeout", timeout);
    }
    let mut client = RevertNameServiceClient::with_origin(wire.clone(), wire.origin());
    Ok(client.revert_name(request).await?.into_inner().name)
}

#[tokio::test]
async fn a_delay_ends_at_the_deadline_of_caller_or_server() {
    let leaf = revert_name(&["--call-timeout", "700ms"])
        .start()
        .await
        .unwrap();
    let wire = Wire::connect(leaf.addresses().grpc).await;
    let timed = async |delay, timeout| {
        within(Duration::from_secs(5), revert(&wire, "Ana", delay, timeout)).await
    };
    let cases = [
        // The caller's deadline, and the server's own, which a caller cannot extend.
        timed(3600, Some("200m")),
        timed(3600, None),
        timed(1, Some("60S")),
    ];
    for ((ended, took), deadline) in join_all(cases).await.into_iter().zip([200, 700, 700]) {
        assert_eq!(ended.unwrap_err().code(), Code::DeadlineExceeded);
        let deadline = Duration::from_millis(deadline);
        assert!(took >= deadline, "{took:?} is before {deadline:?}");
        assert!(
            took < deadline + Duration::from_millis(500),
            "{took:?} is after {deadline:?}"
        );
    }
}

#[tokio::test]
async fn an_invalid_timeout_is_ignored_and_zero_has_passed() {
    let leaf = revert_name(&[]).start().await.unwrap();
    let wire = Wire::connect(leaf.addresses().grpc).await;
    for timeout in ["0n", "0S", "1n"] {
        let status = revert(&wire, "Ana", 0, Some(timeout)).await.unwrap_err();
        assert_eq!(status.code(), Code::DeadlineExceeded, "{timeout}");
    }
    for timeout in ["abc", "-1S", "1", "S", "100000000S", "99999999H", "1.5S"] {
        let response = revert(&wire, "Ana", 0, Some(timeout)).await;
        assert_eq!(response.unwrap(), "anA", "{timeout}");
    }
}

#[tokio::test]
async fn a_call_completes_after_a_delay_within_the_deadline() {
    let leaf = revert_name(&[]).start().await.unwrap();
    let wire = Wire::connect(leaf.addresses().grpc).await;
    let call = revert(&wire, "Ana", 1, Some("10S"));
    let (ended, took) = within(Duration::from_secs(5), call).await;
    assert_eq!(ended.unwrap(), "anA");
    assert!(took >= Duration::from_secs(1), "{took:?}");
}

#[tokio::test]
async fn a_delay_out_of_range_is_an_invalid_argument_at_once() {
    let leaf = revert_name(&[]).start().await.unwrap();
    let wire = Wire::connect(leaf.addresses().grpc).await;
    for delay in [-1, 3601, i32::MIN, i32::MAX] {
        let status = revert(&wire, "Ana", delay, None).await.unwrap_err();
        let expected = format!("delay is {delay}; send 0 to 3600 seconds");
        assert_eq!(
            (status.code(), status.message()),
            (Code::InvalidArgument, expected.as_str())
        );
    }
}

#[tokio::test]
async fn every_code_is_returned_on_demand_and_a_panic_is_internal() {
    let leaf = revert_name(&[]).start().await.unwrap();
    let wire = Wire::connect(leaf.addresses().grpc).await;
    let names = [
        "cancelled",
        "unknown",
        "invalid_argument",
        "deadline_exceeded",
        "not_found",
        "already_exists",
        "permission_denied",
        "resource_exhausted",
        "failed_precondition",
        "aborted",
        "out_of_range",
        "unimplemented",
        "internal",
        "unavailable",
        "data_loss",
        "unauthenticated",
    ];
    for (name, number) in names.into_iter().zip(1..) {
        let status = revert(&wire, name, 0, None).await.unwrap_err();
        assert_eq!(status.code() as i32, number, "{name}");
        assert!(status.message().starts_with("fault on demand"), "{status}");
    }
    for name in ["exception", "key_error"] {
        let status = revert(&wire, name, 0, None).await.unwrap_err();
        assert_eq!(status.code(), Code::Internal, "{name}");
        assert!(!status.message().contains(name), "{status}");
    }
    assert_eq!(revert(&wire, "Ana", 0, None).await.unwrap(), "anA");
}

#[tokio::test]
async fn an_unknown_service_is_unimplemented() {
    let leaf = revert_name(&[]).start().await.unwrap();
    let mut client = TimeServiceClient::new(channel(leaf.addresses().grpc));
    let status = client.what_time_is(WhatTimeIsRequest {}).await.unwrap_err();
    assert_eq!(status.code(), Code::Unimplemented);
}

#[tokio::test]
async fn a_deadline_ends_a_health_watch() {
    use tonic_health::pb::HealthCheckRequest;
    use tonic_health::pb::health_client::HealthClient;

    let leaf = revert_name(&[]).start().await.unwrap();
    let mut client = HealthClient::new(channel(leaf.addresses().grpc));
    let mut request = Request::new(HealthCheckRequest::default());
    // Sent as by other clients: tonic's own timeout would end the call in the client.
    request
        .metadata_mut()
        .insert("grpc-timeout", "300m".parse().unwrap());
    let watch = async {
        let mut statuses = client.watch(request).await?.into_inner();
        let first = statuses.message().await?.unwrap().status;
        assert_eq!(first, 1);
        statuses.message().await
    };
    let (ended, took) = within(Duration::from_secs(5), watch).await;
    assert_eq!(ended.unwrap_err().code(), Code::DeadlineExceeded);
    assert!(took >= Duration::from_millis(300), "{took:?}");
}
