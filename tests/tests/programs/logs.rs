//! What programs log about calls.

use std::net::SocketAddr;

use http::Request;
use serde_json::Value;
use vitalmesh_proto::heartbeat::v1::BeatHeartRequest;
use vitalmesh_proto::heartbeat::v1::heartbeat_service_client::HeartbeatServiceClient;
use vitalmesh_proto::revert_name::v1::RevertNameRequest;
use vitalmesh_proto::revert_name::v1::revert_name_service_client::RevertNameServiceClient;
use vitalmesh_tests::{Program, channel, eventually, free_address, get, send};

use crate::fixture::{Trio, connects};

#[tokio::test]
async fn every_service_logs_a_call_with_the_trace_of_the_request() {
    let level = [
        "--log-format",
        "json",
        "--log-level",
        "info,vitalmesh=debug",
    ];
    let trio = Trio::start(&level).await;
    let http = trio.edge.address("http").await;
    let trace = "4bf92f3577b34da6a3ce929d0e0e4736";
    let header = format!("00-{trace}-00f067aa0ba902b7-01");
    let request = Request::get("/proxy/Ana").header("traceparent", header);
    assert_eq!(send(http, request).await.unwrap().status, 200);
    for (program, method) in [
        (&trio.edge, "/proxy/{name}"),
        (
            &trio.revert_name,
            "/vitalmesh.revert_name.v1.RevertNameService/RevertName",
        ),
        (&trio.time, "/vitalmesh.time.v1.TimeService/WhatTimeIs"),
    ] {
        let line = eventually("a line of the trace", async || {
            let lines = program.lines().into_iter();
            let mut lines = lines.filter_map(|line| serde_json::from_str::<Value>(&line).ok());
            lines.find(|line| line["trace_id"] == trace && line["message"] == "call ended")
        })
        .await;
        assert_eq!(line["method"], method);
        assert!(line["elapsed_ms"].as_f64() > Some(0.0), "{line}");
        let peer: SocketAddr = line["peer"].as_str().unwrap().parse().unwrap();
        assert!(peer.ip().is_loopback());
    }
    let traced = |program: &Program| {
        let ended = program
            .lines()
            .into_iter()
            .filter(|line| line.contains("call ended"));
        ended
            .filter_map(|line| {
                let line: Value = serde_json::from_str(&line).unwrap();
                Some(line["trace_id"].as_str()?.to_owned())
            })
            .collect::<Vec<_>>()
    };
    assert_eq!(get(http, "/proxy/Ana").await.status, 200);
    let traces = eventually("a second trace", async || {
        let traces = traced(&trio.time);
        (traces.len() >= 2).then_some(traces)
    })
    .await;
    assert_ne!(
        traces[1], trace,
        "a request without a traceparent has a new trace"
    );
    assert_eq!(traces[1].len(), 32);
}

#[tokio::test]
async fn the_logs_have_no_raw_text_of_clients() {
    for format in ["json", "human"] {
        let flags = [
            "--log-level",
            "info,vitalmesh=debug",
            "--log-format",
            format,
        ];
        let leaf = Program::service("revert-name", &flags);
        let data = tempfile::tempdir().unwrap();
        let folder = data.path().to_str().unwrap();
        let (grpc, scrape, http) = (free_address(), free_address(), free_address());
        let leaf_address = async || match format {
            "json" => leaf.address("grpc").await,
            _ => human_address(&leaf).await,
        };
        let leaf_url = format!("http://{}", leaf_address().await);
        let addresses = [grpc, scrape, http].map(|address| address.to_string());
        let own = [
            "--data-dir",
            folder,
            "--revert-name-url",
            &leaf_url,
            "--grpc-address",
            &addresses[0],
            "--scrape-address",
            &addresses[1],
            "--http-address",
            &addresses[2],
        ];
        let edge = Program::start("edge", [own.as_slice(), &flags].concat());
        eventually("the edge serves", async || {
            connects(http).await.then_some(())
        })
        .await;

        let marked = "Zaphod%1b%5B31m%0d%0a%00%e2%80%ae%c2%85";
        for path in ["/proxy/", "/", "/proxy/%ff", "/heartbeats/"] {
            let request = Request::get(format!("{path}{marked}"))
                .header("user-agent", "Zaphod")
                .header("traceparent", "Zaphod")
                .header("x-request-id", "Zaphod");
            send(http, request).await.unwrap();
        }
        let mut unknown_service = RevertNameServiceClient::new(channel(grpc));
        let name = "Zaphod\u{1b}[31m\r\n".to_owned();
        unknown_service
            .revert_name(RevertNameRequest { name, delay: 0 })
            .await
            .unwrap_err();
        let mut client = HeartbeatServiceClient::new(channel(grpc));
        for (service_name, instance) in [("Zaphod\n", ""), ("ok", "Zaphod\u{1b}")] {
            let beat = BeatHeartRequest {
                service_name: service_name.to_owned(),
                instance: instance.to_owned(),
                ..BeatHeartRequest::default()
            };
            client.beat_heart(beat).await.unwrap_err();
        }
        let last = eventually("the last call is logged", async || {
            let lines = edge.lines();
            let ended = lines
                .iter()
                .filter(|line| line.contains("call ended"))
                .count();
            (ended >= 7).then_some(lines)
        })
        .await;
        for line in last.iter().chain(&leaf.lines()) {
            assert!(!line.contains("Zaphod"), "{line:?}");
            assert!(!line.chars().any(char::is_control), "{line:?}");
            assert!(!line.contains('\u{202e}'), "{line:?}");
        }
    }
}

async fn human_address(program: &Program) -> SocketAddr {
    eventually("the program serves", async || {
        let lines = program.lines();
        let serving = lines.iter().find(|line| line.contains(" serving "))?;
        let grpc = serving.split(" grpc=").nth(1)?;
        grpc.split(' ').next()?.parse().ok()
    })
    .await
}
