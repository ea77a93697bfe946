//! docs/PROTOS.md matches the contracts that the services register.
#![expect(clippy::unwrap_used, reason = "tests fail by panicking")]

use std::path::Path;

use vitalmesh_services::{SERVICES, ServiceInfo};
use vitalmesh_tests::{Served, reference};

const PAGE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/PROTOS.md");

const FREE: &str = "127.0.0.1:0";

const PROTO: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../proto");

/// The contracts that each service of the list registers when it starts.
async fn services() -> Vec<Served> {
    let data = tempfile::tempdir().unwrap();
    let mut served = Vec::new();
    for (entry, service) in SERVICES.iter().zip(ServiceInfo::all()) {
        let mut flags = vec!["--grpc-address", FREE, "--scrape-address", FREE];
        if service.http_port.is_some() {
            flags.extend(["--http-address", FREE]);
        }
        if service.keeps_data {
            flags.extend(["--data-dir", data.path().to_str().unwrap()]);
        }
        if service.sends_heartbeats {
            flags.extend(["--heartbeat-cron", "off"]);
        }
        let running = entry.bind(flags).unwrap().start().await.unwrap();
        served.push(Served::by(&running));
    }
    served
}

#[tokio::test]
async fn the_page_of_contracts_is_up_to_date() {
    let page = std::fs::read_to_string(PAGE).unwrap();
    assert!(
        page == reference(&services().await),
        "docs/PROTOS.md is out of date: run `just generate` and commit it"
    );
}

#[test]
fn every_proto_is_on_the_page() {
    let page = std::fs::read_to_string(PAGE).unwrap();
    let mut folders = vec![Path::new(PROTO).to_owned()];
    let mut protos = 0;
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|kind| kind == "proto") {
                let name = path.strip_prefix(PROTO).unwrap().display();
                assert!(
                    page.contains(&format!("`proto/{name}`")),
                    "no service serves {name}"
                );
                protos += 1;
            }
        }
    }
    assert_ne!(protos, 0);
}

#[tokio::test]
#[ignore = "writes docs/PROTOS.md: just generate"]
async fn write_the_page_of_contracts() {
    std::fs::write(PAGE, reference(&services().await)).unwrap();
}
