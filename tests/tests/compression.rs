//! Every service takes compressed requests, without a line of its own about them.
#![expect(clippy::unwrap_used, reason = "tests fail by panicking")]

use bytes::Bytes;
use http::Request;
use http_body_util::{BodyExt, Full};
use tonic::body::Body;
use tonic::codec::CompressionEncoding::Gzip;
use tonic::{Code, Status};
use tower_service::Service;
use vitalmesh_proto::bookstore::v1::ListBooksRequest;
use vitalmesh_proto::bookstore::v1::bookstore_service_client::BookstoreServiceClient;
use vitalmesh_proto::counter::v1::IncreaseRequest;
use vitalmesh_proto::counter::v1::counter_service_client::CounterServiceClient;
use vitalmesh_proto::heartbeat::v1::BeatHeartRequest;
use vitalmesh_proto::heartbeat::v1::heartbeat_service_client::HeartbeatServiceClient;
use vitalmesh_proto::revert_name::v1::RevertNameRequest;
use vitalmesh_proto::revert_name::v1::revert_name_service_client::RevertNameServiceClient;
use vitalmesh_proto::time::v1::WhatTimeIsRequest;
use vitalmesh_proto::time::v1::time_service_client::TimeServiceClient;
use vitalmesh_server::pb::health::HealthCheckRequest;
use vitalmesh_server::pb::health::health_client::HealthClient;
use vitalmesh_tests::{Mesh, Wire, bookstore, channel, counter, revert_name};

#[tokio::test]
async fn a_compressed_request_is_answered_by_every_service() {
    let mesh = Mesh::start().await;
    let counter = counter(&[]).start().await.unwrap();
    let bookstore = bookstore(mesh.data.path(), &[]).start().await.unwrap();

    let channel_to = |service: &vitalmesh_chassis::Running| channel(service.addresses().grpc);
    let mut client =
        RevertNameServiceClient::new(channel_to(&mesh.revert_name)).send_compressed(Gzip);
    let name = "vitalmesh ".repeat(20);
    let request = RevertNameRequest {
        name: name.clone(),
        delay: 0,
    };
    let reversed = client.revert_name(request).await.unwrap().into_inner().name;
    assert_eq!(reversed, name.chars().rev().collect::<String>());

    let mut client = TimeServiceClient::new(channel_to(&mesh.time)).send_compressed(Gzip);
    client
        .what_time_is(WhatTimeIsRequest::default())
        .await
        .unwrap();

    let mut client = CounterServiceClient::new(channel_to(&counter)).send_compressed(Gzip);
    let request = IncreaseRequest { num: 41 };
    assert_eq!(client.increase(request).await.unwrap().into_inner().num, 42);

    let mut client = HeartbeatServiceClient::new(channel_to(&mesh.edge)).send_compressed(Gzip);
    let beat = BeatHeartRequest {
        service_name: "compressed".to_owned(),
        ..BeatHeartRequest::default()
    };
    client.beat_heart(beat).await.unwrap();

    let mut client = BookstoreServiceClient::new(channel_to(&bookstore)).send_compressed(Gzip);
    client
        .list_books(ListBooksRequest::default())
        .await
        .unwrap();

    let mut client = HealthClient::new(channel_to(&mesh.time)).send_compressed(Gzip);
    let response = client.check(HealthCheckRequest::default()).await.unwrap();
    assert_eq!(response.into_inner().status, 1);
}

/// The status of a RevertName whose request is these bytes in this encoding.
async fn status(wire: &Wire, encoding: &str, message: &[u8]) -> Status {
    let origin = wire.origin().to_string();
    let origin = origin.trim_end_matches('/');
    let path = "/vitalmesh.revert_name.v1.RevertNameService/RevertName";
    let request = Request::post(format!("{origin}{path}"))
        .header("content-type", "application/grpc")
        .header("te", "trailers")
        .header("grpc-encoding", encoding)
        .body(Body::new(Full::new(Bytes::copy_from_slice(message))));
    let response = wire.clone().call(request.unwrap()).await.unwrap();
    let known = &response.headers()["grpc-accept-encoding"];
    assert_eq!(known, "gzip,deflate,zstd,identity");
    match Status::from_header_map(response.headers()) {
        Some(status) => status,
        None => {
            let body = response.into_body().collect().await.unwrap();
            Status::from_header_map(body.trailers().unwrap()).unwrap()
        }
    }
}

#[tokio::test]
async fn a_request_that_is_not_what_its_encoding_says_is_refused_with_a_status() {
    let leaf = revert_name(&[]).start().await.unwrap();
    let wire = Wire::connect(leaf.addresses().grpc).await;
    let corrupt = [1, 0, 0, 0, 3, b'a', b'b', b'c'];
    for encoding in ["gzip", "deflate", "zstd"] {
        let refused = status(&wire, encoding, &corrupt).await;
        assert_eq!(
            refused.code(),
            Code::InvalidArgument,
            "{encoding}: {refused}"
        );
        // A message that is not compressed needs no decompression.
        let name = [0, 0, 0, 0, 5, 0x0a, 3, b'A', b'n', b'a'];
        let answered = status(&wire, encoding, &name).await;
        assert_eq!(answered.code(), Code::Ok, "{encoding}: {answered}");
    }
    for (encoding, code) in [
        ("snappy", Code::Unimplemented),
        ("identity", Code::InvalidArgument),
    ] {
        let refused = status(&wire, encoding, &corrupt).await;
        assert_eq!(refused.code(), code, "{encoding}: {refused}");
    }
}
