//! docs/PROTOS.md is what the services' descriptor sets say.
#![expect(clippy::unwrap_used, reason = "tests fail by panicking")]

use vitalmesh_tests::{Served, reference};

const PAGE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/PROTOS.md");

const SERVICES: [Served; 4] = [
    Served::by::<vitalmesh_counter::Config>(),
    Served::by::<vitalmesh_edge::Config>(),
    Served::by::<vitalmesh_revert_name::Config>(),
    Served::by::<vitalmesh_time::Config>(),
];

#[test]
fn the_page_of_contracts_is_fresh() {
    let page = std::fs::read_to_string(PAGE).unwrap();
    assert!(
        page == reference(&SERVICES),
        "docs/PROTOS.md is out of date: run `just reference` and commit it"
    );
}

#[test]
#[ignore = "writes docs/PROTOS.md: just reference"]
fn write_the_page_of_contracts() {
    std::fs::write(PAGE, reference(&SERVICES)).unwrap();
}
