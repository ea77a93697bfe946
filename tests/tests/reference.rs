//! docs/PROTOS.md matches the contracts that the services register.
#![expect(clippy::unwrap_used, reason = "tests fail by panicking")]

use std::path::Path;

use vitalmesh_tests::{Mesh, Served, bookstore, counter, reference};

const PAGE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/PROTOS.md");

const PROTO: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../proto");

/// The contracts of all services, which are started to ask them.
async fn services() -> Vec<Served> {
    let mesh = Mesh::start().await;
    let bookstore = bookstore(mesh.data.path(), &[]).start().await.unwrap();
    let counter = counter(&[]).start().await.unwrap();
    [
        &bookstore,
        &counter,
        &mesh.edge,
        &mesh.revert_name,
        &mesh.time,
    ]
    .map(Served::by)
    .to_vec()
}

#[tokio::test]
async fn the_page_of_contracts_is_fresh() {
    let page = std::fs::read_to_string(PAGE).unwrap();
    assert!(
        page == reference(&services().await),
        "docs/PROTOS.md is out of date: run `just reference` and commit it"
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
                    "{name} is served by nobody"
                );
                protos += 1;
            }
        }
    }
    assert_ne!(protos, 0);
}

#[tokio::test]
#[ignore = "writes docs/PROTOS.md: just reference"]
async fn write_the_page_of_contracts() {
    std::fs::write(PAGE, reference(&services().await)).unwrap();
}
