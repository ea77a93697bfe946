//! The dependencies between the workspace's crates, and the users of some external ones.

use std::collections::{BTreeMap, BTreeSet};

use vitalmesh_services::ServiceInfo;
use vitalmesh_tests::{Package, packages};

fn ours<'a>(names: &'a BTreeSet<String>, all: &BTreeMap<String, Package>) -> BTreeSet<&'a str> {
    let ours = names.iter().filter(|name| all.contains_key(*name));
    ours.map(String::as_str).collect()
}

/// The packages that depend on `name`, also in their own tests.
fn users<'a>(name: &str, all: &'a BTreeMap<String, Package>) -> BTreeSet<&'a str> {
    let users = all
        .iter()
        .filter(|(_, package)| package.normal.contains(name) || package.dev.contains(name));
    users.map(|(user, _)| user.as_str()).collect()
}

/// The packages of the list of services.
fn services() -> Vec<String> {
    let services = ServiceInfo::all().into_iter();
    services.map(|service| service.package).collect()
}

#[test]
fn the_list_has_every_folder_of_services_with_package_program_and_description() {
    let all = packages();
    let in_services = all
        .iter()
        .filter(|(_, package)| package.folder.starts_with("services/"));
    let found: Vec<_> = in_services
        .map(|(name, package)| {
            let folder = package.folder.trim_start_matches("services/");
            let programs: Vec<_> = package.programs.iter().map(String::as_str).collect();
            (
                name.as_str(),
                folder,
                programs,
                package.description.as_str(),
            )
        })
        .collect();
    let services = ServiceInfo::all();
    let listed: Vec<_> = services
        .iter()
        .map(|it| {
            (
                it.package.as_str(),
                it.name,
                vec![it.name],
                it.description.as_str(),
            )
        })
        .collect();
    assert_eq!(
        found, listed,
        "crates/services/src/list.rs differs from the folders of services/"
    );
}

#[test]
fn a_service_never_depends_on_another() {
    let all = packages();
    let services = services();
    for name in &services {
        let package = &all[name];
        for arrows in [&package.normal, &package.dev] {
            let mut arrows = ours(arrows, &all);
            arrows.retain(|arrow| services.iter().any(|service| service == arrow));
            assert_eq!(arrows, BTreeSet::new(), "{name}");
        }
    }
}

#[test]
fn only_the_list_depends_on_every_service() {
    let all = packages();
    for service in services() {
        let users = users(&service, &all);
        assert!(users.contains("vitalmesh-services"), "{service}: {users:?}");
        let mut allowed = BTreeSet::from(["vitalmesh-services", "vitalmesh-tests"]);
        // `mesh count` also counts without a server.
        if service == "vitalmesh-counter" {
            allowed.insert("vitalmesh-cli");
        }
        assert!(users.is_subset(&allowed), "{service}: {users:?}");
    }
}

#[test]
fn only_the_command_line_and_the_tests_depend_on_the_list() {
    let all = packages();
    let expected = BTreeSet::from(["vitalmesh-cli", "vitalmesh-tests"]);
    assert_eq!(users("vitalmesh-services", &all), expected);
}

/// The library crates, each with the crates of ours that it depends on. Each line names only crates
/// of the lines above, so the arrows point one way.
const LIBRARIES: [(&str, &[&str]); 13] = [
    ("grpc-prometheus", &[]),
    ("vitalmesh-matched", &[]),
    ("vitalmesh-status", &[]),
    ("vitalmesh-store", &[]),
    ("vitalmesh-transport", &[]),
    ("vitalmesh-context", &["vitalmesh-status"]),
    ("vitalmesh-proto", &["vitalmesh-status"]),
    (
        "vitalmesh-telemetry",
        &[
            "vitalmesh-context",
            "vitalmesh-status",
            "vitalmesh-transport",
        ],
    ),
    (
        "vitalmesh-client",
        &[
            "grpc-prometheus",
            "vitalmesh-context",
            "vitalmesh-telemetry",
            "vitalmesh-transport",
        ],
    ),
    (
        "vitalmesh-server",
        &[
            "grpc-prometheus",
            "vitalmesh-context",
            "vitalmesh-status",
            "vitalmesh-telemetry",
        ],
    ),
    (
        "vitalmesh-tasks",
        &["vitalmesh-context", "vitalmesh-telemetry"],
    ),
    (
        "vitalmesh-chassis",
        &[
            "grpc-prometheus",
            "vitalmesh-client",
            "vitalmesh-context",
            "vitalmesh-server",
            "vitalmesh-tasks",
            "vitalmesh-telemetry",
            "vitalmesh-transport",
        ],
    ),
    (
        "vitalmesh-heartbeat",
        &[
            "grpc-prometheus",
            "vitalmesh-chassis",
            "vitalmesh-proto",
            "vitalmesh-status",
        ],
    ),
];

#[test]
fn the_libraries_depend_on_exactly_these_crates_and_all_arrows_point_one_way() {
    let all = packages();
    let mut above = BTreeSet::new();
    for (name, expected) in LIBRARIES {
        let expected: BTreeSet<_> = expected.iter().copied().collect();
        assert_eq!(ours(&all[name].normal, &all), expected, "{name}");
        assert!(
            expected.is_subset(&above),
            "{name} depends on a later crate"
        );
        above.insert(name);
    }
    let services = services();
    let services = services.iter().map(String::as_str);
    let others = ["vitalmesh-cli", "vitalmesh-services", "vitalmesh-tests"];
    let known: BTreeSet<_> = above.into_iter().chain(services).chain(others).collect();
    let existing: BTreeSet<_> = all.keys().map(String::as_str).collect();
    assert_eq!(
        existing, known,
        "a crate is missing in LIBRARIES or in crates/services/src/list.rs"
    );
}

#[test]
fn only_the_heartbeat_the_services_and_their_clients_use_the_contracts() {
    let all = packages();
    let normal = all
        .iter()
        .filter(|(_, package)| package.normal.contains("vitalmesh-proto"));
    let users: BTreeSet<_> = normal.map(|(user, _)| user.as_str()).collect();
    let others = ["vitalmesh-cli", "vitalmesh-heartbeat", "vitalmesh-tests"];
    let services = services();
    let services = services.iter().map(String::as_str);
    let expected: BTreeSet<_> = services.chain(others).collect();
    assert_eq!(users, expected);
}

#[test]
fn only_services_with_a_file_depend_on_the_store() {
    let all = packages();
    let expected = BTreeSet::from(["vitalmesh-bookstore", "vitalmesh-edge"]);
    assert_eq!(users("vitalmesh-store", &all), expected);
}

#[test]
fn nothing_depends_on_the_tests() {
    let all = packages();
    assert_eq!(users("vitalmesh-tests", &all), BTreeSet::new());
}

#[test]
fn some_external_crates_have_named_users_alone() {
    let all = packages();
    for (name, allowed) in [
        (
            "prometheus",
            [
                "grpc-prometheus",
                "vitalmesh-bookstore",
                "vitalmesh-chassis",
                "vitalmesh-edge",
                "vitalmesh-server",
                "vitalmesh-tasks",
                "vitalmesh-telemetry",
            ]
            .as_slice(),
        ),
        // The settings have its type of log levels.
        (
            "tracing-subscriber",
            &["vitalmesh-chassis", "vitalmesh-telemetry"],
        ),
        // The server has its own; tests use the clients of these.
        ("tonic-health", &[]),
        ("tonic-reflection", &[]),
        ("tokio-cron-scheduler", &["vitalmesh-tasks"]),
        // Both read the reason of a reset stream.
        ("h2", &["grpc-prometheus", "vitalmesh-transport"]),
    ] {
        let normal = all
            .iter()
            .filter(|(_, package)| package.normal.contains(name));
        let users: BTreeSet<_> = normal.map(|(user, _)| user.as_str()).collect();
        assert_eq!(users, allowed.iter().copied().collect(), "{name}");
    }
}

/// Only `vitalmesh-transport` knows how a call reaches the wire, and only `vitalmesh-server` how one
/// arrives.
#[test]
fn only_the_tests_of_the_mesh_enable_tonics_own_transport() {
    let all = packages();
    let own = ["channel", "server", "transport"];
    let users = all.iter().filter(|(_, package)| {
        let mut features = package.tonic.iter();
        features.any(|feature| own.contains(&feature.as_str()))
    });
    let users: Vec<_> = users.map(|(user, _)| user.as_str()).collect();
    // The baseline of the benches is a stock tonic service, and clients of other stacks call.
    assert_eq!(users, ["vitalmesh-tests"]);
}
