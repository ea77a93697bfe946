//! Old names: answered, counted, logged, rejected and switched off.

use std::net::SocketAddr;

use http::Request;
use tonic::{Code, Status};
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_client::HealthClient;
use vitalmesh_proto::heartbeat::v1::{BeatHeartRequest, BeatHeartResponse};
use vitalmesh_proto::revert_name::v1::{RevertNameRequest, RevertNameResponse};
use vitalmesh_proto::time::v1::{WhatTimeIsRequest, WhatTimeIsResponse};
use vitalmesh_tests::{Mesh, Program, channel, eventually_eq, revert_name, scrape, send};

use crate::fixture::{call, handled};

const REVERT: &str = "/dj.grpc.revert_name.RevertApi/RevertName";
const TIME: &str = "/dj.grpc.time.TimeProcedureApi/WhatTimeIs";
const BEAT: &str = "/dj.grpc.heartbeat.HeartBeatApi/BeatHeart";

async fn revert(address: SocketAddr, name: &str) -> Result<String, Status> {
    let request = RevertNameRequest {
        name: name.to_owned(),
        delay: 0,
    };
    let response: RevertNameResponse = call(address, REVERT, request).await?;
    Ok(response.name)
}

#[tokio::test]
async fn an_old_name_is_served_by_the_new_method_and_counted_as_itself() {
    let mesh = Mesh::start().await;
    let (edge, time) = (mesh.edge.addresses(), mesh.time.addresses());
    let revert_name = mesh.revert_name.addresses();
    for (port, path) in [(edge, BEAT), (revert_name, REVERT), (time, TIME)] {
        assert_eq!(handled(port.scrape, path, "OK").await, Some(0.0), "{path}");
    }

    assert_eq!(
        revert(revert_name.grpc, "Rene\u{301}").await.unwrap(),
        "e\u{301}neR"
    );
    let response: WhatTimeIsResponse = call(time.grpc, TIME, WhatTimeIsRequest {}).await.unwrap();
    assert_eq!(
        response.time.len(),
        "2026-11-21T12:00:00.000000+00:00".len()
    );
    let beat = BeatHeartRequest {
        service_name: "an-old-one".to_owned(),
        ..BeatHeartRequest::default()
    };
    let _: BeatHeartResponse = call(edge.grpc, BEAT, beat).await.unwrap();
    let page = scrape(edge.scrape).await;
    let beats =
        page.value("mesh_heartbeats_received_total{service=\"an-old-one\",service_instance=\"\"}");
    assert_eq!(beats, Some(1.0));

    for (port, path) in [(edge, BEAT), (revert_name, REVERT), (time, TIME)] {
        eventually_eq(Some(1.0), async || handled(port.scrape, path, "OK").await).await;
    }
    let new = "/vitalmesh.revert_name.v1.RevertNameService/RevertName";
    assert_eq!(handled(revert_name.scrape, new, "OK").await, Some(0.0));
}

#[tokio::test]
async fn an_error_of_an_old_name_is_the_same_error() {
    let leaf = revert_name(&[]).start().await.unwrap();
    let addresses = leaf.addresses();
    let status = revert(addresses.grpc, "not_found").await.unwrap_err();
    assert_eq!(status.code(), Code::NotFound);
    assert!(status.message().starts_with("fault on demand"), "{status}");
    let status = revert(addresses.grpc, "exception").await.unwrap_err();
    assert_eq!(status.code(), Code::Internal);
    for code in ["NotFound", "Internal"] {
        let counted = async || handled(addresses.scrape, REVERT, code).await;
        eventually_eq(Some(1.0), counted).await;
    }
}

#[tokio::test]
async fn requests_that_are_not_grpc_are_rejected_by_an_old_name() {
    let leaf = revert_name(&[]).start().await.unwrap();
    let get = send(leaf.addresses().grpc, Request::get(REVERT))
        .await
        .unwrap();
    assert_eq!(get.status, 405);
    let form = Request::post(REVERT).header("content-type", "text/plain");
    assert_eq!(send(leaf.addresses().grpc, form).await.unwrap().status, 415);
}

#[tokio::test]
async fn an_unknown_method_of_an_old_service_is_unimplemented() {
    let leaf = revert_name(&[]).start().await.unwrap();
    let path = "/dj.grpc.revert_name.RevertApi/Revert";
    let response = call::<_, RevertNameResponse>(leaf.addresses().grpc, path, ()).await;
    assert_eq!(response.unwrap_err().code(), Code::Unimplemented);
}

#[tokio::test]
async fn old_names_are_in_health_and_can_be_switched_off_everywhere() {
    for (switch, health, calls) in [
        ("on", Code::Ok, Code::Ok),
        ("off", Code::NotFound, Code::Unimplemented),
    ] {
        let leaf = revert_name(&["--legacy-names", switch]);
        let leaf = leaf.start().await.unwrap();
        let service = "dj.grpc.revert_name.RevertApi".to_owned();
        let mut client = HealthClient::new(channel(leaf.addresses().grpc));
        let checked = client.check(HealthCheckRequest { service }).await;
        assert_eq!(
            checked.map_or_else(|status| status.code(), |_| Code::Ok),
            health
        );
        let response = revert(leaf.addresses().grpc, "Ana").await;
        assert_eq!(
            response.map_or_else(|status| status.code(), |_| Code::Ok),
            calls
        );
        let zeros = handled(leaf.addresses().scrape, REVERT, "OK").await;
        assert_eq!(zeros.is_some(), switch == "on");
    }
}

#[tokio::test]
async fn a_log_line_has_the_name_that_the_client_used() {
    let program = Program::service("revert-name", &[]);
    let address = program.address("grpc").await;
    revert(address, "internal").await.unwrap_err();
    let line = program.logged("call ended").await;
    assert_eq!(line["method"], REVERT);
    assert_eq!(line["code"], "Internal");
}
