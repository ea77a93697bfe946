//! `mesh up`: all services in one process.

use std::net::{SocketAddr, TcpListener};

use http::Request;
use rustix::process::Signal;
use serde_json::Value;
use vitalmesh_services::ServiceInfo;
use vitalmesh_tests::{Program, Scrape, eventually, get, own_ip, run, send, within};

use crate::fixture::{STOP_LIMIT, connects, lines_of};

#[tokio::test]
async fn mesh_up_runs_every_service_in_one_process_until_ctrl_c() {
    let data = tempfile::tempdir().unwrap();
    let ip = own_ip();
    let bind = ip.to_string();
    let folder = data.path().to_str().unwrap();
    let mesh = Program::start("mesh", ["up", "--bind", &bind, "--data-dir", folder]);
    let response = eventually("a response", async || {
        let request = Request::get("/proxy/Ana");
        let response = send((ip, 8012).into(), request).await.ok()?;
        (response.status == 200).then_some(response)
    })
    .await;
    assert_eq!(response.json()["reversed_name"], "anA");
    let next = get((ip, 8014).into(), "/increase/41").await;
    assert_eq!(next.json()["num"], 42);
    let services = ServiceInfo::all();
    for service in &services {
        let page = get((ip, service.scrape_port).into(), "/metrics").await;
        assert_eq!(Scrape::parse(&page.body).of("mesh_build_info{").len(), 1);
    }
    let leaves = services.iter().filter(|service| service.sends_heartbeats);
    let once: Vec<_> = leaves.map(|leaf| (leaf.name.into(), 1.into())).collect();
    eventually("a beat of each leaf", async || {
        let list = get((ip, 8012).into(), "/heartbeats").await.json();
        let services = list["services"].as_array()?.clone();
        let beaten = |line: &Value| (line["service"].clone(), line["beats"].clone());
        let found: Vec<_> = services.iter().map(beaten).collect();
        (found == once).then_some(())
    })
    .await;
    for service in &services {
        let address = SocketAddr::new(ip, service.grpc_port).to_string();
        let check = run("mesh", &["healthcheck", &address], &[]).await;
        assert_eq!(check.status.code(), Some(0), "{check:?}");
    }
    mesh.signal(Signal::INT);
    let ((status, lines), _) = within(STOP_LIMIT, mesh.ended()).await;
    assert_eq!(status.code(), Some(0), "{lines:#?}");
    let check = run("mesh", &["healthcheck", &format!("{ip}:50053")], &[]).await;
    assert_eq!(check.status.code(), Some(1));
    assert_eq!(lines_of(&check.stderr).len(), 1, "{check:?}");
}

/// The lines with this message.
fn lines_with(lines: &[String], message: &str) -> Vec<Value> {
    let lines = lines.iter().filter(|line| line.starts_with('{'));
    let lines = lines.map(|line| serde_json::from_str::<Value>(line).unwrap());
    lines.filter(|line| line["message"] == message).collect()
}

#[tokio::test]
async fn a_failed_request_is_one_line_of_each_service_with_its_reason() {
    let data = tempfile::tempdir().unwrap();
    let ip = own_ip();
    let bind = ip.to_string();
    let folder = data.path().to_str().unwrap();
    let mesh = Program::start("mesh", ["up", "--bind", &bind, "--data-dir", folder]);
    let http = SocketAddr::new(ip, 8012);
    eventually("the edge serves", async || {
        connects(http).await.then_some(())
    })
    .await;
    assert_eq!(get(http, "/proxy/internal").await.status, 500);
    let ended = eventually("two lines", async || {
        let ended = lines_with(&mesh.lines(), "call ended");
        (ended.len() >= 2).then_some(ended)
    })
    .await;
    let line = |service: &str| {
        let mut lines = ended.iter().filter(|line| line["service"] == service);
        let line = lines
            .next()
            .unwrap_or_else(|| panic!("{service}: {ended:#?}"));
        assert_eq!(lines.next(), None);
        let text = |key: &str| line[key].as_str().unwrap().to_owned();
        [
            text("method"),
            text("code"),
            text("reason"),
            text("trace_id"),
        ]
    };
    let [method, code, reason, trace_id] = line("revert-name");
    assert_eq!(
        method,
        "/vitalmesh.revert_name.v1.RevertNameService/RevertName"
    );
    assert_eq!((&*code, reason.is_empty()), ("Internal", false));
    let edge = line("edge");
    let upstream = format!("revert-name: Internal: {reason}");
    assert_eq!(edge, ["/proxy/{name}", "500", &upstream, &trace_id]);

    for _ in 0..30 {
        assert_eq!(get(http, "/proxy/internal").await.status, 500);
    }
    mesh.signal(Signal::TERM);
    let ((status, lines), _) = within(STOP_LIMIT, mesh.ended()).await;
    assert!(status.success());
    for service in ["revert-name", "edge"] {
        let of_service = |line: &Value| line["service"] == service;
        let ended = lines_with(&lines, "call ended")
            .into_iter()
            .filter(of_service)
            .count();
        let reports = lines_with(&lines, "more lines like these were not logged");
        let reports = reports.iter().filter(|line| of_service(line));
        let suppressed: u64 = reports
            .map(|line| line["suppressed"].as_u64().unwrap())
            .sum();
        assert!(suppressed > 0, "{lines:#?}");
        assert_eq!(ended as u64 + suppressed, 31, "{service}: {lines:#?}");
    }
}

#[tokio::test]
async fn mesh_up_stops_the_edge_before_its_leaves_and_no_request_fails() {
    let data = tempfile::tempdir().unwrap();
    let ip = own_ip();
    let bind = ip.to_string();
    let folder = data.path().to_str().unwrap();
    let mesh = Program::start("mesh", ["up", "--bind", &bind, "--data-dir", folder]);
    let ask = async || {
        let request = Request::get("/proxy/Ana");
        send((ip, 8012).into(), request).await.ok()
    };
    eventually("every service", async || {
        for service in ServiceInfo::all() {
            let request = Request::get("/readyz");
            let ready = send((ip, service.scrape_port).into(), request).await.ok()?;
            (ready.status == 200).then_some(())?;
        }
        ask().await.filter(|response| response.status == 200)
    })
    .await;

    mesh.signal(Signal::TERM);
    let mut answered = 0;
    // Until the port is closed.
    while let Some(response) = ask().await {
        assert_eq!(response.status, 200, "{}", response.body);
        answered += 1;
    }
    assert!(answered > 10, "{answered} requests during the lame duck");

    let ((status, lines), _) = within(STOP_LIMIT, mesh.ended()).await;
    assert_eq!(status.code(), Some(0), "{lines:#?}");
    let lines: Vec<Value> = lines
        .iter()
        .filter_map(|line| serde_json::from_str(line).ok())
        .collect();
    let at = |message: &str, service: &str| {
        let found = lines
            .iter()
            .position(|line| line["message"] == message && line["service"] == service);
        found.unwrap_or_else(|| panic!("{service} is not {message}: {lines:#?}"))
    };
    for leaf in ServiceInfo::all() {
        if leaf.name != "edge" {
            let (edge, leaf) = (at("stopped", "edge"), at("stopping", leaf.name));
            assert!(edge < leaf, "{lines:#?}");
        }
    }
}

#[tokio::test]
async fn mesh_up_starts_nothing_where_a_port_is_taken() {
    let ip = own_ip();
    let _taken = TcpListener::bind((ip, 50051)).unwrap();
    let data = tempfile::tempdir().unwrap();
    let folder = data.path().join("missing");
    let bind = ip.to_string();
    let words = [
        "up",
        "--bind",
        &bind,
        "--data-dir",
        folder.to_str().unwrap(),
    ];
    let output = run("mesh", &words, &[]).await;
    let lines = lines_of(&output.stderr);
    assert_eq!(
        (output.status.code(), lines.len()),
        (Some(2), 1),
        "{lines:?}"
    );
    assert!(lines[0].contains(&format!("{ip}:50051")), "{lines:?}");
    assert_eq!(lines_of(&output.stdout), [""; 0]);
    assert!(!folder.exists(), "the data folder was created");
    assert!(!connects((ip, 8012).into()).await);
}
