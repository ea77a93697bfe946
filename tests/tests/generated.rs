//! The generated files and `docker-compose.yml` match the list of services.
#![expect(clippy::unwrap_used, reason = "tests fail by panicking")]

use std::collections::BTreeMap;
use std::path::Path;

use vitalmesh_services::ServiceInfo;
use vitalmesh_tests::{LIST, generated, run};

const ROOT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/..");

#[test]
fn the_generated_files_are_up_to_date() {
    for (path, expected) in generated(Path::new(ROOT)) {
        let found = std::fs::read_to_string(&path).unwrap_or_default();
        let path = path.strip_prefix(ROOT).unwrap().display();
        assert!(
            found == expected,
            "{path} is out of date: run `just generate` and commit it"
        );
    }
}

#[test]
#[ignore = "writes the generated files: just generate"]
fn write_the_generated_files() {
    for (path, text) in generated(Path::new(ROOT)) {
        std::fs::write(path, text).unwrap();
    }
}

#[tokio::test]
async fn mesh_services_prints_the_list_of_the_repository() {
    let printed = run("mesh", &["services", "--json"], &[]).await;
    let printed = String::from_utf8(printed.stdout).unwrap();
    let list = std::fs::read_to_string(Path::new(ROOT).join(LIST)).unwrap();
    assert_eq!(printed, list);
    let table = run("mesh", &["services"], &[]).await;
    let table = String::from_utf8(table.stdout).unwrap();
    assert_eq!(table.lines().count(), ServiceInfo::all().len() + 1);
}

/// The blocks of docker-compose.yml that run an image of ours, by their names.
fn compose_blocks(compose: &str) -> BTreeMap<&str, &str> {
    let (_, services) = compose.split_once("\nservices:\n").unwrap();
    let (services, _) = services.split_once("\nvolumes:\n").unwrap();
    let blocks = services.split("\n\n").filter_map(|block| {
        let (name, block) = block.trim_start_matches('\n').split_once(":\n")?;
        Some((name.strip_prefix("  ")?, block))
    });
    blocks
        .filter(|(_, block)| block.contains("image: vitalmesh/"))
        .collect()
}

#[test]
fn every_service_has_its_block_in_docker_compose() {
    let compose = std::fs::read_to_string(Path::new(ROOT).join("docker-compose.yml")).unwrap();
    let blocks = compose_blocks(&compose);
    let services = ServiceInfo::all();
    let names: Vec<_> = services.iter().map(|service| service.name).collect();
    assert_eq!(
        blocks.keys().copied().collect::<Vec<_>>(),
        names,
        "the blocks of docker-compose.yml differ from the list of services"
    );
    for service in &services {
        let (name, block) = (service.name, blocks[service.name]);
        let wanted = block_parts(service, &services);
        for part in &wanted {
            assert!(block.contains(part), "{name}: {part} is not in\n{block}");
        }
        let published = block.matches("127.0.0.1:").count();
        assert_eq!(
            published,
            1 + usize::from(service.http_port.is_some()),
            "{name}"
        );
        for (part, is_there) in [
            ("STATE: stateful", service.keeps_data),
            (":/data", service.keeps_data),
            ("EXPECTED_SERVICES", name == "edge"),
        ] {
            assert_eq!(block.contains(part), is_there, "{name}: {part}");
        }
    }
}

/// What a service's block has to contain.
fn block_parts(service: &ServiceInfo, services: &[ServiceInfo]) -> Vec<String> {
    let ServiceInfo { name, image, .. } = service;
    let ports = [
        Some(service.grpc_port),
        service.http_port,
        Some(service.scrape_port),
    ];
    let ports: Vec<_> = ports
        .into_iter()
        .flatten()
        .map(|port| port.to_string())
        .collect();
    let variable = name.to_uppercase().replace('-', "_");
    let publish = |kind, port| format!("127.0.0.1:${{{variable}_{kind}_PORT:-{port}}}:{port}\"");
    let mut parts = vec![
        format!("image: {image}\n"),
        format!("SERVICE: {name}, PORTS: \"{}\"", ports.join(" ")),
        publish("GRPC", service.grpc_port),
    ];
    parts.extend(service.http_port.map(|port| publish("HTTP", port)));
    for upstream in &service.upstreams {
        let mut found = services.iter();
        let port = found
            .find(|it| it.name == upstream.service)
            .unwrap()
            .grpc_port;
        parts.push(match upstream.service {
            "edge" => ": *leaf\n".to_owned(),
            other => format!("{}: http://{other}:{port}\n", upstream.variable),
        });
    }
    parts
}

#[test]
fn a_leaf_in_docker_compose_finds_the_edge() {
    let compose = std::fs::read_to_string(Path::new(ROOT).join("docker-compose.yml")).unwrap();
    let services = ServiceInfo::all();
    let edge = services
        .iter()
        .find(|service| service.name == "edge")
        .unwrap();
    let leaf = format!(
        "x-leaf: &leaf\n  <<: *tracing\n  EDGE_URL: http://edge:{}\n",
        edge.grpc_port
    );
    assert!(compose.contains(&leaf), "{leaf}");
}
