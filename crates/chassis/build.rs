//! Bakes in which commit this is built from: `VITALMESH_REVISION`, else what git says.

use std::process::Command;

fn main() {
    println!("cargo:rerun-if-env-changed=VITALMESH_REVISION");
    println!("cargo:rerun-if-changed=../../.git/HEAD");
    let revision = std::env::var_os("VITALMESH_REVISION")
        .and_then(|revision| revision.into_string().ok())
        .filter(|revision| !revision.is_empty())
        .or_else(git_revision)
        .unwrap_or_else(|| "unknown".to_owned());
    println!("cargo:rustc-env=VITALMESH_REVISION={revision}");
}

fn git_revision() -> Option<String> {
    let output = Command::new("git")
        .args(["rev-parse", "--short=12", "HEAD"])
        .output()
        .ok()?;
    let revision = String::from_utf8(output.stdout).ok()?;
    output.status.success().then(|| revision.trim().to_owned())
}
