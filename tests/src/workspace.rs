//! The packages of the workspace and their dependencies.

use std::collections::{BTreeMap, BTreeSet};
use std::process::Command;

use serde_json::Value;

/// A package of the workspace.
#[derive(Debug, Default)]
pub struct Package {
    /// Relative to the root of the workspace.
    pub folder: String,
    pub description: String,
    pub programs: Vec<String>,
    /// The crates that it depends on outside of its own tests.
    pub normal: BTreeSet<String>,
    /// The crates that its own tests depend on.
    pub dev: BTreeSet<String>,
    /// The features of tonic that it enables outside of its own tests.
    pub tonic: BTreeSet<String>,
}

/// The packages of the workspace by their names, from `cargo metadata`.
///
/// # Panics
///
/// Cargo fails.
pub fn packages() -> BTreeMap<String, Package> {
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

// === impl Package ===

impl Package {
    fn read(package: &Value, root: &str) -> Self {
        let manifest = text(&package["manifest_path"]);
        let folder = manifest.trim_start_matches(root).trim_matches('/');
        let mut read = Self {
            folder: folder.trim_end_matches("/Cargo.toml").to_owned(),
            description: text(&package["description"]),
            programs: programs(package),
            ..Self::default()
        };
        for dependency in package["dependencies"].as_array().unwrap() {
            let kind = match dependency["kind"].as_str() {
                Some("dev") => &mut read.dev,
                _ => &mut read.normal,
            };
            kind.insert(text(&dependency["name"]));
            if dependency["name"] == "tonic" && dependency["kind"] != "dev" {
                let features = dependency["features"].as_array().unwrap().iter();
                read.tonic.extend(features.map(text));
            }
        }
        read
    }
}

fn programs(package: &Value) -> Vec<String> {
    let targets = package["targets"].as_array().unwrap().iter();
    let programs = targets.filter(|target| target["kind"][0] == "bin");
    programs.map(|target| text(&target["name"])).collect()
}

fn text(value: &Value) -> String {
    value.as_str().unwrap().to_owned()
}
