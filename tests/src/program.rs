//! The programs as child processes. Dropping one kills it.

use std::ffi::OsStr;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Output, Stdio};
use std::sync::{Arc, Mutex, OnceLock};
use std::time::Duration;

use rustix::process::{Pid, Resource, Rlimit, Signal, kill_process, prlimit};
use serde_json::Value;
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::{Child, Command};
use tokio::task::JoinHandle;
use vitalmesh_services::ServiceInfo;

use crate::{eventually, within};

const RUN_LIMIT: Duration = Duration::from_secs(15);

/// A running program and its log lines.
#[derive(Debug)]
pub struct Program {
    child: Child,
    lines: Arc<Mutex<Vec<String>>>,
    reader: JoinHandle<()>,
}

// === impl Program ===

impl Program {
    /// Starts a program, which logs JSON by default.
    pub fn start<I: AsRef<OsStr>>(name: &str, flags: impl IntoIterator<Item = I>) -> Self {
        let mut child = command(name)
            .args(flags)
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut stderr = BufReader::new(child.stderr.take().unwrap()).lines();
        let lines = Arc::new(Mutex::new(Vec::new()));
        let sink = Arc::clone(&lines);
        let reader = tokio::spawn(async move {
            while let Ok(Some(line)) = stderr.next_line().await {
                sink.lock().unwrap().push(line);
            }
        });
        Self {
            child,
            lines,
            reader,
        }
    }

    /// Starts the program of a service, on free ports unless `flags` name others.
    pub fn service(name: &str, flags: &[&str]) -> Self {
        let services = ServiceInfo::all();
        let service = services.iter().find(|service| service.name == name);
        let http = service.unwrap().http_port.map(|_| "--http-address");
        let ports = ["--grpc-address", "--scrape-address"]
            .into_iter()
            .chain(http);
        let missing = ports.filter(|port| !flags.contains(port));
        let free = missing.flat_map(|port| [port, "127.0.0.1:0"]);
        Self::start(name, free.chain(flags.iter().copied()))
    }

    /// The lines logged so far.
    pub fn lines(&self) -> Vec<String> {
        self.lines.lock().unwrap().clone()
    }

    /// Waits for a log line with this message.
    pub async fn logged(&self, message: &str) -> Value {
        eventually(message, async || {
            let lines = self.lines().into_iter();
            lines
                .filter_map(|line| serde_json::from_str::<Value>(&line).ok())
                .find(|line| line["message"] == message)
        })
        .await
    }

    /// Waits until the service is serving. Returns the address of its port `grpc`, `http` or `scrape`.
    pub async fn address(&self, port: &str) -> SocketAddr {
        let line = self.logged("serving").await;
        line[port].as_str().unwrap().parse().unwrap()
    }

    /// Sends a signal.
    pub fn signal(&self, signal: Signal) {
        kill_process(self.pid(), signal).unwrap();
    }

    /// Limits the open file descriptors of the program.
    pub fn limit_descriptors(&self, max: u64) {
        let limit = Rlimit {
            current: Some(max),
            maximum: Some(max),
        };
        prlimit(Some(self.pid()), Resource::Nofile, limit).unwrap();
    }

    /// The number of open file descriptors.
    pub fn descriptors(&self) -> u64 {
        let folder = format!("/proc/{}/fd", self.pid().as_raw_nonzero());
        std::fs::read_dir(folder).unwrap().count() as u64
    }

    /// The CPU time of the program, in hundredths of a second.
    pub fn processor_ticks(&self) -> u64 {
        let stat = format!("/proc/{}/stat", self.pid().as_raw_nonzero());
        let stat = std::fs::read_to_string(stat).unwrap();
        let (_, fields) = stat.rsplit_once(')').unwrap();
        let ticks = fields.split_whitespace().skip(11).take(2);
        ticks.map(|ticks| ticks.parse::<u64>().unwrap()).sum()
    }

    fn pid(&self) -> Pid {
        let id = self.child.id().unwrap();
        Pid::from_raw(i32::try_from(id).unwrap()).unwrap()
    }

    /// Waits until the program ends. Returns its status and its log.
    pub async fn ended(mut self) -> (ExitStatus, Vec<String>) {
        let status = self.child.wait().await.unwrap();
        self.reader.await.unwrap();
        let lines = self.lines.lock().unwrap().clone();
        (status, lines)
    }
}

/// Runs a program to its end, with these variables only.
///
/// # Panics
///
/// It runs for more than 15 s.
pub async fn run(name: &str, arguments: &[&str], variables: &[(&str, &str)]) -> Output {
    // Before the time limit starts, since the first call builds the programs.
    let mut command = command(name);
    command.args(arguments).envs(variables.iter().copied());
    let ended = within(RUN_LIMIT, command.output());
    ended.await.0.unwrap()
}

/// A command without the environment of the tests, which could change settings.
fn command(name: &str) -> Command {
    let mut command = Command::new(programs().join(name));
    command.env_clear().kill_on_drop(true).stdin(Stdio::null());
    command
}

/// The folder of the programs, built once with the profile of the running test.
fn programs() -> &'static Path {
    static PROGRAMS: OnceLock<PathBuf> = OnceLock::new();
    PROGRAMS.get_or_init(|| {
        let test = std::env::current_exe().unwrap();
        let folder = test.ancestors().nth(2).unwrap().to_owned();
        let mut cargo = std::process::Command::new(env!("CARGO"));
        cargo.args(["build", "--quiet", "--bins", "--target-dir"]);
        cargo.arg(folder.parent().unwrap());
        for package in packages() {
            cargo.args(["--package", &package]);
        }
        if folder.ends_with("release") {
            cargo.arg("--release");
        }
        cargo.current_dir(env!("CARGO_MANIFEST_DIR"));
        assert!(
            cargo.status().unwrap().success(),
            "cargo cannot build the programs"
        );
        folder
    })
}

/// The packages whose programs are tested, and this one, so that features are unified as they were
/// when the tests were built.
fn packages() -> Vec<String> {
    let services = ServiceInfo::all()
        .into_iter()
        .map(|service| service.package);
    let others = ["vitalmesh-cli", "vitalmesh-tests"].map(str::to_owned);
    services.chain(others).collect()
}
