//! Signals: in order, in time, and at once.

use std::time::Duration;

use rustix::process::Signal;
use serde_json::Value;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;
use vitalmesh_proto::revert_name::v1::RevertNameRequest;
use vitalmesh_proto::revert_name::v1::revert_name_service_client::RevertNameServiceClient;
use vitalmesh_tests::{Program, channel, eventually, get, within};

use crate::fixture::{STOP_LIMIT, Trio, connects};

const IMMEDIATE_LIMIT: Duration = Duration::from_secs(2);
const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\x00\x00\x00\x04\x00\x00\x00\x00\x00";

#[tokio::test]
async fn sigterm_drains_and_stops_a_program_with_code_0() {
    let programs = Trio::start(&[]).await;
    let http = programs.edge.address("http").await;
    eventually("a response", async || {
        (get(http, "/proxy/Ana").await.status == 200).then_some(())
    })
    .await;
    for program in [programs.edge, programs.revert_name, programs.time] {
        let scrape = program.address("scrape").await;
        program.signal(Signal::TERM);
        let ready = eventually("not ready", async || {
            let page = get(scrape, "/readyz").await;
            (page.status != 200).then_some(page)
        });
        assert_eq!(ready.await.body, "draining\n");
        let ((status, lines), _) = within(STOP_LIMIT, program.ended()).await;
        assert_eq!(status.code(), Some(0), "{lines:#?}");
        let messages: Vec<_> = lines.iter().map(|line| message(line)).collect();
        assert_eq!(
            messages[messages.len() - 2..],
            ["stopping", "stopped"],
            "{lines:#?}"
        );
        assert!(!connects(scrape).await);
    }
}

fn message(line: &str) -> String {
    let line: Value = serde_json::from_str(line).unwrap();
    line["message"].as_str().unwrap().to_owned()
}

#[tokio::test]
async fn a_program_stops_within_15_seconds_whatever_its_peers_do() {
    let leaf = Program::service("revert-name", &[]);
    let address = leaf.address("grpc").await;
    let mut held = Vec::new();
    for bytes in [b"".as_slice(), b"PRI", PREFACE, b"GET / HTTP/1.1\r\n"] {
        for _ in 0..10 {
            let mut peer = TcpStream::connect(address).await.unwrap();
            peer.write_all(bytes).await.unwrap();
            held.push(peer);
        }
    }
    let call = tokio::spawn(async move {
        let mut client = RevertNameServiceClient::new(channel(address));
        let name = "Ana".to_owned();
        client
            .revert_name(RevertNameRequest { name, delay: 29 })
            .await
    });
    let scrape = leaf.address("scrape").await;
    let in_flight = "grpc_server_started_total{grpc_method=\"RevertName\",grpc_service=\"vitalmesh";
    eventually("the call has begun", async || {
        let page = vitalmesh_tests::scrape(scrape).await;
        (page.value(page.of(in_flight)[0]) == Some(1.0)).then_some(())
    })
    .await;
    leaf.signal(Signal::TERM);
    let ((status, lines), _) = within(STOP_LIMIT, leaf.ended()).await;
    assert_eq!(status.code(), Some(0), "{lines:#?}");
    call.await.unwrap().unwrap_err();
}

#[tokio::test]
async fn a_second_signal_stops_a_program_at_once() {
    for (first, second) in [(Signal::TERM, Signal::TERM), (Signal::INT, Signal::TERM)] {
        let leaf = Program::service("time", &["--lame-duck", "20s"]);
        let address = leaf.address("grpc").await;
        leaf.signal(first);
        leaf.logged("stopping").await;
        leaf.signal(second);
        let ((status, lines), _) = within(IMMEDIATE_LIMIT, leaf.ended()).await;
        assert_eq!(status.code(), Some(1), "{lines:#?}");
        assert!(!connects(address).await);
    }
}
