//! Calls move exactly their own counts.

use http::Request;
use tonic::Code;
use vitalmesh_proto::revert_name::v1::RevertNameRequest;
use vitalmesh_proto::revert_name::v1::revert_name_service_client::RevertNameServiceClient;
use vitalmesh_proto::time::v1::WhatTimeIsRequest;
use vitalmesh_proto::time::v1::time_service_client::TimeServiceClient;
use vitalmesh_tests::{Mesh, Scrape, channel, eventually, eventually_eq, get, scrape, send};

use crate::fixture::{Moved, REVERT, TIME, at_rest, calls, moved, requests, sum};

#[tokio::test]
async fn counts_change_by_exactly_the_calls_made() {
    let (mesh, before) = at_rest().await;
    for _ in 0..5 {
        assert_eq!(get(mesh.http(), "/proxy/Ana").await.status, 200);
    }
    assert_eq!(get(mesh.http(), "/proxy/Bo/").await.status, 200);
    assert_eq!(get(mesh.http(), "/proxy/%ff").await.status, 400);
    assert_eq!(get(mesh.http(), "/no/such/path").await.status, 404);
    let post = Request::post("/proxy/Ana");
    assert_eq!(send(mesh.http(), post).await.unwrap().status, 405);

    let expected = [
        sum([
            calls("client", REVERT, 6, &[]),
            calls("client", TIME, 6, &[]),
            requests("/proxy/{name}", "GET", &[(200, 6), (400, 1)]),
            requests("/proxy/{name}", "POST", &[(405, 1)]),
            requests("unknown", "GET", &[(404, 1)]),
        ]),
        calls("server", REVERT, 6, &[]),
        calls("server", TIME, 6, &[]),
    ];
    eventually_eq(expected, async || moved(&mesh, &before).await).await;
}

#[tokio::test]
async fn a_fault_is_counted_by_its_code_and_an_unknown_service_as_unknown() {
    let (mesh, before) = at_rest().await;
    let to_revert_name = channel(mesh.revert_name.addresses().grpc);
    let mut client = RevertNameServiceClient::new(to_revert_name.clone());
    for (name, delay) in [
        ("not_found", 0),
        ("not_found", 0),
        ("aborted", 0),
        ("exception", 0),
        ("Ana", -1),
    ] {
        let name = name.to_owned();
        client
            .revert_name(RevertNameRequest { name, delay })
            .await
            .unwrap_err();
    }
    let mut stranger = TimeServiceClient::new(to_revert_name);
    for _ in 0..3 {
        let status = stranger
            .what_time_is(WhatTimeIsRequest {})
            .await
            .unwrap_err();
        assert_eq!(status.code(), Code::Unimplemented);
    }

    let faults = [
        ("NotFound", 2),
        ("Aborted", 1),
        ("Internal", 1),
        ("InvalidArgument", 1),
    ];
    let expected = calls("server", REVERT, 0, &faults);
    let known = async || {
        let mut moved = moved(&mesh, &before).await;
        let known = |series: &String, _: &mut f64| !series.contains("grpc_service=\"unknown\"");
        let [edge, mut revert_name, time] = std::mem::take(&mut moved);
        revert_name.retain(known);
        [edge, revert_name, time]
    };
    eventually_eq([Moved::new(), expected, Moved::new()], known).await;
    let page = scrape(mesh.revert_name.addresses().scrape).await;
    let unknown =
        page.of("grpc_server_handled_total{grpc_code=\"Unimplemented\",grpc_method=\"unknown\"");
    assert_eq!(unknown.len(), 1, "{unknown:?}");
    assert_eq!(page.value(unknown[0]), Some(3.0));
    // One is the old name of RevertName.
    assert_eq!(page.of("grpc_server_started_total{").len(), 3);
}

#[tokio::test]
async fn a_client_counts_the_code_that_its_caller_gets() {
    let (mesh, before) = at_rest().await;
    let Mesh {
        edge,
        revert_name,
        time,
        data: _data,
    } = mesh;
    let (http, page) = (edge.addresses().http.unwrap(), edge.addresses().scrape);
    tokio::join!(revert_name.stop(), time.stop());
    eventually("a refused call", async || {
        (get(http, "/proxy/Ana").await.status == 503).then_some(())
    })
    .await;
    let labels = |(service, method)| {
        format!("grpc_method=\"{method}\",grpc_service=\"{service}\",grpc_type=\"unary\"")
    };
    let after = scrape(page).await;
    let moved = after.calls_since(&before[0]);
    let unavailable: f64 = [REVERT, TIME]
        .into_iter()
        .filter_map(|method| {
            let labels = labels(method);
            moved.get(&format!(
                "grpc_client_handled_total{{grpc_code=\"Unavailable\",{labels}}}"
            ))
        })
        .sum();
    assert!(unavailable >= 1.0, "{moved:#?}");
}

#[tokio::test]
async fn connections_are_counted_as_they_open_and_close() {
    let (mesh, before) = at_rest().await;
    let counts = |page: &Scrape| {
        ["", "_opened_total", "_closed_total"].map(|suffix| {
            let series = format!("grpc_server_connections{suffix}");
            page.value(&series).unwrap()
        })
    };
    let counted = async || counts(&scrape(mesh.edge.addresses().scrape).await);
    // The connections of the two leaves' heartbeats.
    assert_eq!(counts(&before[0]), [2.0, 2.0, 0.0]);
    let mute = tokio::net::TcpStream::connect(mesh.edge.addresses().grpc).await;
    eventually_eq([3.0, 3.0, 0.0], &counted).await;
    drop(mute.unwrap());
    eventually_eq([2.0, 3.0, 1.0], &counted).await;
}
