//! Sets `VITALMESH_REVISION` for the build: the variable of that name, else the commit of git's HEAD.

use std::process::Command;

const GIT_LOG: &str = "../../.git/logs/HEAD";

fn main() {
    println!("cargo:rerun-if-env-changed=VITALMESH_REVISION");
    // This file changes with each commit; HEAD only names the branch. It is absent in an image.
    if std::path::Path::new(GIT_LOG).exists() {
        println!("cargo:rerun-if-changed={GIT_LOG}");
    }
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
