//! The cost of tracing: instructions per `GET /proxy/name` through the whole mesh without a collector,
//! in an unsampled trace, and in a recorded one.
//!
//! Valgrind counts the instructions, so the load of the machine does not matter. They include those of
//! all three services and of the client, in one thread.
#![expect(clippy::unwrap_used, reason = "a bench fails by panicking")]

use std::process::Command;

use bytes::Bytes;
use http::Request;
use http_body_util::{BodyExt, Empty};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;
use vitalmesh_tests::{Collector, Mesh};

/// The allocator of the services' programs.
#[global_allocator]
static ALLOCATOR: vitalmesh_chassis::Allocator = vitalmesh_chassis::Allocator;

/// Both counts include start and stop; their difference is the cost of the requests alone.
const REQUESTS: [u64; 2] = [200, 1200];
/// The name and the flags of each mode.
const MODES: [(&str, &[&str]); 3] = [
    ("no collector", &["--otlp-endpoint", ""]),
    ("not sampled", &["--trace-ratio", "0"]),
    ("recorded", &["--trace-ratio", "1"]),
];

fn main() {
    let words: Vec<String> = std::env::args().collect();
    let after = |flag: &str| words.iter().skip_while(|word| *word != flag).nth(1);
    if let Some(count) = after("--requests") {
        let flags = words.iter().skip_while(|word| *word != "--flags").skip(1);
        let flags: Vec<_> = flags.map(String::as_str).collect();
        return drive(count.parse().unwrap(), &flags);
    }
    if Command::new("valgrind").arg("--version").output().is_err() {
        return println!("valgrind is not installed: `apt-get install valgrind`, then again.");
    }
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let collector = runtime.block_on(Collector::start());
    let mut least = None;
    for (name, flags) in MODES {
        let url = collector.url();
        let endpoint = ["--otlp-endpoint", &url];
        let all = match flags[0] {
            "--otlp-endpoint" => flags.to_vec(),
            _ => [&endpoint, flags].concat(),
        };
        let [few, many] = REQUESTS.map(|count| instructions(count, &all));
        let each = (many - few) as f64 / (REQUESTS[1] - REQUESTS[0]) as f64;
        let first = *least.get_or_insert(each);
        let more = (each / first - 1.0) * 100.0;
        println!("{name:14} {each:10.0} instructions a request  {more:+.2} %");
    }
}

/// The instructions of this program for that many requests, as a child under valgrind.
fn instructions(requests: u64, flags: &[&str]) -> u64 {
    let ended = Command::new("valgrind")
        .args(["--tool=callgrind", "--callgrind-out-file=/dev/null"])
        .arg(std::env::current_exe().unwrap())
        .args(["--requests", &requests.to_string(), "--flags"])
        .args(flags)
        .output()
        .unwrap();
    let stderr = String::from_utf8(ended.stderr).unwrap();
    assert!(ended.status.success(), "{stderr}");
    let count = stderr
        .lines()
        .find_map(|line| line.split_once("Collected : "));
    count.unwrap().1.trim().parse().unwrap()
}

/// Starts the mesh, sends it requests in sequence over one connection, and stops.
fn drive(requests: u64, flags: &[&str]) {
    let mut runtime = tokio::runtime::Builder::new_current_thread();
    runtime.enable_all().build().unwrap().block_on(async {
        let mesh = Mesh::with(flags, flags).await;
        let stream = TcpStream::connect(mesh.http()).await.unwrap();
        let connected = hyper::client::conn::http1::handshake(TokioIo::new(stream));
        let (mut sender, connection) = connected.await.unwrap();
        tokio::spawn(connection);
        for _ in 0..requests {
            let request = Request::get("/proxy/name").header("host", "edge");
            let request = request.body(Empty::<Bytes>::new()).unwrap();
            sender.ready().await.unwrap();
            let response = sender.send_request(request).await.unwrap();
            assert_eq!(response.status(), 200);
            response.into_body().collect().await.unwrap();
        }
    });
}
