//! `GET /proxy/name` under wrk: the mesh with all its features against a stock tonic and axum one.
//!
//! `cargo bench -p vitalmesh-tests --bench proxy -- [--quick] [--pairs 5] [--seconds 5]`. Each
//! runs its three services in one process, and they take turns.
#![expect(clippy::unwrap_used, reason = "a bench fails by panicking")]
#![expect(clippy::disallowed_types, reason = "measures real time")]

use std::fs;
use std::io::{BufRead, BufReader, Read};
use std::net::SocketAddr;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use vitalmesh_chassis::{Service, log, parse};
use vitalmesh_tests::{Mesh, get};

const PATH: &str = "/proxy/name";

/// The allocator of the services' programs, for the child that serves the mesh.
#[global_allocator]
static ALLOCATOR: vitalmesh_chassis::Allocator = vitalmesh_chassis::Allocator;

/// A child process that serves the mesh or the baseline.
struct Subject {
    name: &'static str,
    child: Child,
    address: SocketAddr,
    /// From the start of the process to its first response.
    first_response: Duration,
    idle_bytes: f64,
    runs: Vec<Run>,
}

/// One run of wrk.
#[derive(Debug)]
struct Run {
    requests_per_second: f64,
    p50_ms: f64,
    p99_ms: f64,
    cpu_us_per_request: f64,
    resident_bytes: f64,
}

fn main() {
    let words: Vec<String> = std::env::args().collect();
    let after = |flag: &str| words.iter().skip_while(|word| *word != flag).nth(1);
    if after("--serve").is_some() {
        return serve();
    }
    if Command::new("wrk").arg("--version").output().is_err() {
        return println!("wrk is not installed: `apt-get install wrk`, then run this again.");
    }
    let quick = words.iter().any(|word| word == "--quick");
    let number = |flag, usual| after(flag).map_or(usual, |text| text.parse().unwrap());
    let pairs: u32 = number("--pairs", if quick { 1 } else { 5 });
    let seconds: u32 = number("--seconds", if quick { 1 } else { 5 });

    let mut subjects = [Subject::start("stock"), Subject::start("mesh")];
    for pair in 0..pairs {
        // Each goes first in half of the pairs.
        let (first, second) = subjects.split_at_mut(1);
        let turns = match pair % 2 {
            0 => [&mut first[0], &mut second[0]],
            _ => [&mut second[0], &mut first[0]],
        };
        for subject in turns {
            subject.load(seconds);
        }
    }
    report(&subjects);
}

/// Serves the mesh until standard input ends, together with the parent.
fn serve() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let _mesh = runtime.block_on(async {
        // Logs as a service does, at the default level.
        log(parse::<vitalmesh_time::Config>(["time"])
            .unwrap()
            .settings());
        let every_ten_seconds = ["--heartbeat-cron", "*/10 * * * * *"];
        let mesh = Mesh::with(&[], &every_ten_seconds).await;
        println!("{}", mesh.http());
        mesh
    });
    let _ = std::io::stdin().read(&mut [0]);
}

// === impl Subject ===

impl Subject {
    fn start(name: &'static str) -> Self {
        let begun = Instant::now();
        let mut child = match name {
            "stock" => Command::new(env!("CARGO_BIN_EXE_stock-mesh")),
            _ => Command::new(std::env::current_exe().unwrap()),
        };
        let mut child = child
            .args(["--serve", name])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let mut line = String::new();
        let mut lines = BufReader::new(child.stdout.take().unwrap());
        lines.read_line(&mut line).unwrap();
        let address = line.trim().parse().unwrap();
        let runtime = tokio::runtime::Runtime::new().unwrap();
        let response = runtime.block_on(get(address, PATH));
        assert_eq!(
            response.json()["reversed_name"],
            "eman",
            "{}",
            response.body
        );
        Self {
            name,
            address,
            first_response: begun.elapsed(),
            idle_bytes: resident_bytes(child.id()),
            child,
            runs: Vec::new(),
        }
    }

    fn load(&mut self, seconds: u32) {
        let pid = self.child.id();
        let before = cpu_seconds(pid);
        let wrk = Command::new("wrk")
            .args(["-t1", "-c10", &format!("-d{seconds}s"), "--latency"])
            .arg(format!("http://{}{PATH}", self.address))
            .output()
            .unwrap();
        let output = String::from_utf8(wrk.stdout).unwrap();
        assert!(
            wrk.status.success() && !output.contains("Non-2xx"),
            "{output}"
        );
        let cpu_seconds = cpu_seconds(pid) - before;
        let value = |label: &str| {
            let line = output
                .lines()
                .map(str::trim)
                .find_map(|line| line.strip_prefix(label));
            line.unwrap().trim().to_owned()
        };
        let requests = output
            .lines()
            .find_map(|line| line.split_once(" requests in "));
        let requests: f64 = requests.unwrap().0.trim().parse().unwrap();
        self.runs.push(Run {
            requests_per_second: value("Requests/sec:").parse().unwrap(),
            p50_ms: milliseconds(&value("50%")),
            p99_ms: milliseconds(&value("99%")),
            cpu_us_per_request: cpu_seconds / requests * 1e6,
            resident_bytes: resident_bytes(pid),
        });
    }

    fn median(&self, of: impl Fn(&Run) -> f64) -> f64 {
        median(self.runs.iter().map(of).collect())
    }
}

impl Drop for Subject {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn report(subjects: &[Subject; 2]) {
    let mb = |bytes: f64| bytes / 1e6;
    println!(
        "\n          requests/s   p50 ms   p99 ms   CPU us/request   RSS idle MB   loaded MB   first response ms"
    );
    for subject in subjects {
        println!(
            "{:8} {:11.0} {:8.3} {:8.3} {:16.1} {:13.1} {:11.1} {:17.0}",
            subject.name,
            subject.median(|run| run.requests_per_second),
            subject.median(|run| run.p50_ms),
            subject.median(|run| run.p99_ms),
            subject.median(|run| run.cpu_us_per_request),
            mb(subject.idle_bytes),
            subject.median(|run| mb(run.resident_bytes)),
            subject.first_response.as_secs_f64() * 1e3,
        );
    }
    let [stock, mesh] = subjects;
    let ratio = |of: fn(&Run) -> f64| {
        let pairs = mesh.runs.iter().zip(&stock.runs);
        median(pairs.map(|(mesh, stock)| of(mesh) / of(stock)).collect())
    };
    println!(
        "mesh / stock, median of {} pairs: requests/s {:.3}, p50 {:.3}, p99 {:.3}, CPU {:.3}",
        mesh.runs.len(),
        ratio(|run| run.requests_per_second),
        ratio(|run| run.p50_ms),
        ratio(|run| run.p99_ms),
        ratio(|run| run.cpu_us_per_request),
    );
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    let middle = values.len() / 2;
    match values.len() % 2 {
        0 => f64::midpoint(values[middle - 1], values[middle]),
        _ => values[middle],
    }
}

/// Parses wrk's `512.00us`, `1.02ms` or `2.00s`.
fn milliseconds(text: &str) -> f64 {
    let digits = text.trim_end_matches(|c: char| c.is_ascii_alphabetic());
    let value: f64 = digits.parse().unwrap();
    match &text[digits.len()..] {
        "us" => value / 1e3,
        "ms" => value,
        "s" => value * 1e3,
        unit => panic!("wrk's unit {unit} is not known"),
    }
}

/// User and system time of a process and all its threads.
fn cpu_seconds(pid: u32) -> f64 {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap();
    // The program's name is in parentheses and may have spaces; user time is the 12th field after it.
    let fields = stat.rsplit(") ").next().unwrap().split(' ');
    let ticks: f64 = fields
        .skip(11)
        .take(2)
        .map(|ticks| ticks.parse::<f64>().unwrap())
        .sum();
    ticks / rustix::param::clock_ticks_per_second() as f64
}

fn resident_bytes(pid: u32) -> f64 {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let kib = line.unwrap().trim().trim_end_matches(" kB");
    kib.parse::<f64>().unwrap() * 1024.0
}
