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
