//! The arrows between the crates of this workspace, and who may name some of the others.
#![expect(clippy::unwrap_used, reason = "tests fail by panicking")]

use std::collections::{BTreeMap, BTreeSet};
use std::process::Command;

use serde_json::Value;

const SERVICES: [&str; 5] = [
    "vitalmesh-bookstore",
    "vitalmesh-counter",
    "vitalmesh-edge",
    "vitalmesh-revert-name",
    "vitalmesh-time",
];

/// A package's folder, and what it depends on: outside of its own tests, and in them.
#[derive(Debug, Default)]
struct Package {
    folder: String,
    normal: BTreeSet<String>,
    dev: BTreeSet<String>,
}

fn packages() -> BTreeMap<String, Package> {
    let root = concat!(env!("CARGO_MANIFEST_DIR"), "/..");
    let output = Command::new(env!("CARGO"))
        .args([
            "metadata",
            "--format-version",
            "1",
            "--no-deps",
            "--offline",
        ])
        .current_dir(root)
        .output()
        .unwrap();
    let metadata: Value = serde_json::from_slice(&output.stdout).unwrap();
    let root = metadata["workspace_root"].as_str().unwrap().to_owned();
    let packages = metadata["packages"].as_array().unwrap().iter();
    packages
        .map(|package| (text(&package["name"]), Package::read(package, &root)))
        .collect()
}

fn text(value: &Value) -> String {
    value.as_str().unwrap().to_owned()
}

impl Package {
    fn read(package: &Value, root: &str) -> Self {
        let manifest = text(&package["manifest_path"]);
        let folder = manifest.trim_start_matches(root).trim_matches('/');
        let mut read = Self {
            folder: folder.trim_end_matches("/Cargo.toml").to_owned(),
            ..Self::default()
        };
        for dependency in package["dependencies"].as_array().unwrap() {
            let kind = match dependency["kind"].as_str() {
                Some("dev") => &mut read.dev,
                _ => &mut read.normal,
            };
            kind.insert(text(&dependency["name"]));
        }
        read
    }
}

fn ours<'a>(names: &'a BTreeSet<String>, all: &BTreeMap<String, Package>) -> BTreeSet<&'a str> {
    let ours = names.iter().filter(|name| all.contains_key(*name));
    ours.map(String::as_str).collect()
}

/// The packages that depend on `name`, in their own tests or not.
fn users<'a>(name: &str, all: &'a BTreeMap<String, Package>) -> BTreeSet<&'a str> {
    let users = all
        .iter()
        .filter(|(_, package)| package.normal.contains(name) || package.dev.contains(name));
    users.map(|(user, _)| user.as_str()).collect()
}

#[test]
fn the_services_are_the_folders_of_services() {
    let all = packages();
    let in_services = all
        .iter()
        .filter(|(_, package)| package.folder.starts_with("services/"));
    let names: Vec<_> = in_services.map(|(name, _)| name.as_str()).collect();
    assert_eq!(names, SERVICES);
}

#[test]
fn a_service_never_depends_on_another() {
    let all = packages();
    for name in SERVICES {
        let package = &all[name];
        for arrows in [&package.normal, &package.dev] {
            let mut arrows = ours(arrows, &all);
            arrows.retain(|arrow| SERVICES.contains(arrow));
            assert_eq!(arrows, BTreeSet::new(), "{name}");
        }
    }
}

#[test]
fn only_the_command_line_and_the_tests_depend_on_services() {
    let all = packages();
    for service in SERVICES {
        let expected = BTreeSet::from(["vitalmesh-cli", "vitalmesh-tests"]);
        assert_eq!(users(service, &all), expected, "{service}");
    }
}

#[test]
fn grpc_prometheus_knows_no_crate_of_ours_and_the_chassis_only_two() {
    let all = packages();
    let arrows = |name: &str| ours(&all[name].normal, &all);
    assert_eq!(arrows("grpc-prometheus"), BTreeSet::new());
    assert_eq!(arrows("vitalmesh-proto"), BTreeSet::new());
    let expected = BTreeSet::from(["grpc-prometheus", "vitalmesh-proto"]);
    assert_eq!(arrows("vitalmesh-chassis"), expected);
}

#[test]
fn matched_and_store_know_no_crate_of_ours_and_only_services_keep_stores() {
    let all = packages();
    for name in ["vitalmesh-matched", "vitalmesh-store"] {
        let arrows = ours(&all[name].normal, &all);
        assert_eq!(arrows, BTreeSet::new(), "{name}");
    }
    let expected = BTreeSet::from(["vitalmesh-bookstore", "vitalmesh-edge"]);
    assert_eq!(users("vitalmesh-store", &all), expected);
}

#[test]
fn the_testkit_and_the_tests_are_nobodys_normal_dependency() {
    let all = packages();
    for (name, package) in &all {
        for tests in ["vitalmesh-testkit", "vitalmesh-tests"] {
            let exempt = name == "vitalmesh-tests" && tests == "vitalmesh-testkit";
            assert!(
                exempt || !package.normal.contains(tests),
                "{name} uses {tests}"
            );
        }
    }
    assert_eq!(users("vitalmesh-tests", &all), BTreeSet::new());
    if let Some(kit) = all.get("vitalmesh-testkit") {
        assert_eq!(ours(&kit.normal, &all), BTreeSet::new());
    }
}

#[test]
fn crates_that_set_global_things_up_have_one_user() {
    let all = packages();
    let metrics = [
        "grpc-prometheus",
        "vitalmesh-bookstore",
        "vitalmesh-chassis",
        "vitalmesh-edge",
    ];
    for (name, allowed) in [
        ("prometheus", metrics.as_slice()),
        ("tracing-subscriber", &["vitalmesh-chassis"]),
        ("tonic-health", &["vitalmesh-chassis"]),
        ("tonic-reflection", &["vitalmesh-chassis"]),
    ] {
        let normal = all
            .iter()
            .filter(|(_, package)| package.normal.contains(name));
        let users: BTreeSet<_> = normal.map(|(user, _)| user.as_str()).collect();
        assert_eq!(users, allowed.iter().copied().collect(), "{name}");
    }
}
