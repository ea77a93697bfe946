//! The real programs: how they start, stop, refuse, and what they log.
#![expect(clippy::unwrap_used, reason = "tests fail by panicking")]

use std::net::{SocketAddr, TcpListener};
use std::path::Path;
use std::time::Duration;

use http::Request;
use rustix::process::Signal;
use serde_json::Value;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;
use vitalmesh_proto::heartbeat::v1::BeatHeartRequest;
use vitalmesh_proto::heartbeat::v1::heartbeat_service_client::HeartbeatServiceClient;
use vitalmesh_proto::revert_name::v1::RevertNameRequest;
use vitalmesh_proto::revert_name::v1::revert_name_service_client::RevertNameServiceClient;
use vitalmesh_services::ServiceInfo;
use vitalmesh_tests::{
    Program, Scrape, channel, eventually, free_address, get, own_ip, run, send, within,
};

const AT_ONCE: Duration = Duration::from_secs(2);
const ALWAYS_GONE: Duration = Duration::from_secs(15);
const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\x00\x00\x00\x04\x00\x00\x00\x00\x00";

/// An edge and its leaves as three programs, with these flags each.
struct Trio {
    edge: Program,
    revert_name: Program,
    time: Program,
    _data: tempfile::TempDir,
}

impl Trio {
    async fn start(flags: &[&str]) -> Self {
        let data = tempfile::tempdir().unwrap();
        let edge_address = free_address();
        let edge_url = format!("http://{edge_address}");
        let leaf = [&["--edge-url", &edge_url], flags].concat();
        let revert_name = Program::service("revert-name", &leaf);
        let time = Program::service("time", &leaf);
        let revert_name_url = format!("http://{}", revert_name.address("grpc").await);
        let time_url = format!("http://{}", time.address("grpc").await);
        let edge = [
            "--grpc-address",
            &edge_address.to_string(),
            "--data-dir",
            data.path().to_str().unwrap(),
            "--revert-name-url",
            &revert_name_url,
            "--time-url",
            &time_url,
        ];
        Self {
            edge: Program::service("edge", &[&edge, flags].concat()),
            revert_name,
            time,
            _data: data,
        }
    }
}

async fn connects(address: SocketAddr) -> bool {
    TcpStream::connect(address).await.is_ok()
}

#[tokio::test]
async fn sigterm_ends_a_program_in_order_with_code_0() {
    let programs = Trio::start(&[]).await;
    let http = programs.edge.address("http").await;
    eventually("an answer", async || {
        (get(http, "/proxy/Ana").await.status == 200).then_some(())
    })
    .await;
    for program in [programs.edge, programs.revert_name, programs.time] {
        let scrape = program.address("scrape").await;
        program.signal(Signal::TERM);
        let ready = eventually("not ready", async || {
            let page = get(scrape, "/readyz").await;
            (page.status != 200).then_some(page)
        });
        assert_eq!(ready.await.body, "draining\n");
        let ((status, lines), _) = within(ALWAYS_GONE, program.ended()).await;
        assert_eq!(status.code(), Some(0), "{lines:#?}");
        let messages: Vec<_> = lines.iter().map(|line| message(line)).collect();
        assert_eq!(
            messages[messages.len() - 2..],
            ["stopping", "stopped"],
            "{lines:#?}"
        );
        assert!(!connects(scrape).await);
    }
}

fn message(line: &str) -> String {
    let line: Value = serde_json::from_str(line).unwrap();
    line["message"].as_str().unwrap().to_owned()
}

#[tokio::test]
async fn a_program_is_gone_within_15_seconds_whoever_holds_on() {
    let leaf = Program::service("revert-name", &[]);
    let address = leaf.address("grpc").await;
    let mut held = Vec::new();
    for said in [b"".as_slice(), b"PRI", PREFACE, b"GET / HTTP/1.1\r\n"] {
        for _ in 0..10 {
            let mut peer = TcpStream::connect(address).await.unwrap();
            peer.write_all(said).await.unwrap();
            held.push(peer);
        }
    }
    let call = tokio::spawn(async move {
        let mut client = RevertNameServiceClient::new(channel(address));
        let name = "Ana".to_owned();
        client
            .revert_name(RevertNameRequest { name, delay: 29 })
            .await
    });
    let scrape = leaf.address("scrape").await;
    let in_flight = "grpc_server_started_total{grpc_method=\"RevertName\",grpc_service=\"vitalmesh";
    eventually("the call has begun", async || {
        let page = vitalmesh_tests::scrape(scrape).await;
        (page.value(page.of(in_flight)[0]) == Some(1.0)).then_some(())
    })
    .await;
    leaf.signal(Signal::TERM);
    let ((status, lines), _) = within(ALWAYS_GONE, leaf.ended()).await;
    assert_eq!(status.code(), Some(0), "{lines:#?}");
    call.await.unwrap().unwrap_err();
}

#[tokio::test]
async fn a_second_signal_ends_a_program_at_once() {
    for (first, second) in [(Signal::TERM, Signal::TERM), (Signal::INT, Signal::TERM)] {
        let leaf = Program::service("time", &["--lame-duck", "20s"]);
        let address = leaf.address("grpc").await;
        leaf.signal(first);
        leaf.logged("stopping").await;
        leaf.signal(second);
        let ((status, lines), _) = within(AT_ONCE, leaf.ended()).await;
        assert_eq!(status.code(), Some(1), "{lines:#?}");
        assert!(!connects(address).await);
    }
}

#[tokio::test]
async fn mesh_up_runs_every_service_in_one_process_until_ctrl_c() {
    let data = tempfile::tempdir().unwrap();
    let ip = own_ip();
    let bind = ip.to_string();
    let folder = data.path().to_str().unwrap();
    let mesh = Program::start("mesh", ["up", "--bind", &bind, "--data-dir", folder]);
    let answer = eventually("an answer", async || {
        let request = Request::get("/proxy/Ana");
        let answer = send((ip, 8012).into(), request).await.ok()?;
        (answer.status == 200).then_some(answer)
    })
    .await;
    assert_eq!(answer.json()["reversed_name"], "anA");
    let next = get((ip, 8014).into(), "/increase/41").await;
    assert_eq!(next.json()["num"], 42);
    let services = ServiceInfo::all();
    for service in &services {
        let page = get((ip, service.scrape_port).into(), "/metrics").await;
        assert_eq!(Scrape::parse(&page.body).of("mesh_build_info{").len(), 1);
    }
    let leaves = services.iter().filter(|service| service.sends_heartbeats);
    let once: Vec<_> = leaves.map(|leaf| (leaf.name.into(), 1.into())).collect();
    eventually("a beat of each leaf", async || {
        let list = get((ip, 8012).into(), "/heartbeats").await.json();
        let services = list["services"].as_array()?.clone();
        let beaten = |line: &Value| (line["service"].clone(), line["beats"].clone());
        let found: Vec<_> = services.iter().map(beaten).collect();
        (found == once).then_some(())
    })
    .await;
    for service in &services {
        let address = SocketAddr::new(ip, service.grpc_port).to_string();
        let check = run("mesh", &["healthcheck", &address], &[]).await;
        assert_eq!(check.status.code(), Some(0), "{check:?}");
    }
    mesh.signal(Signal::INT);
    let ((status, lines), _) = within(ALWAYS_GONE, mesh.ended()).await;
    assert_eq!(status.code(), Some(0), "{lines:#?}");
    let check = run("mesh", &["healthcheck", &format!("{ip}:50053")], &[]).await;
    assert_eq!(check.status.code(), Some(1));
    assert_eq!(lines_of(&check.stderr).len(), 1, "{check:?}");
}

fn lines_of(output: &[u8]) -> Vec<String> {
    let text = String::from_utf8(output.to_vec()).unwrap();
    text.lines().map(str::to_owned).collect()
}

#[tokio::test]
async fn a_bad_setting_is_one_line_that_names_it_and_code_2() {
    let none: &[(&str, &str)] = &[];
    for (program, flags, variables, setting) in [
        (
            "edge",
            ["--grpc-address", "nowhere"].as_slice(),
            none,
            "--grpc-address",
        ),
        (
            "edge",
            &["--http-address", "127.0.0.1:"],
            none,
            "--http-address",
        ),
        (
            "edge",
            &["--scrape-address", "127.0.0.1:70000"],
            none,
            "--scrape-address",
        ),
        (
            "edge",
            &["--max-connections", "0"],
            none,
            "--max-connections",
        ),
        ("edge", &["--max-calls", "many"], none, "--max-calls"),
        ("edge", &["--max-streams", "0"], none, "--max-streams"),
        (
            "edge",
            &["--upstream-timeout", "5"],
            none,
            "--upstream-timeout",
        ),
        ("edge", &["--call-timeout", "soon"], none, "--call-timeout"),
        ("edge", &["--time-url", "time:50051"], none, "--time-url"),
        (
            "edge",
            &["--revert-name-url", "https://a:1"],
            none,
            "--revert-name-url",
        ),
        (
            "edge",
            &["--expected-services", "time,a b"],
            none,
            "--expected-services",
        ),
        (
            "edge",
            &["--heartbeat-max-rows", "-1"],
            none,
            "--heartbeat-max-rows",
        ),
        (
            "edge",
            &["--prune-cron", "0 0 0 30 2 *"],
            none,
            "--prune-cron",
        ),
        (
            "edge",
            &["--data-dir", "/proc/none", "--http-address", "127.0.0.1:0"],
            none,
            "--data-dir",
        ),
        ("edge", &["--log-format", "xml"], none, "--log-format"),
        (
            "edge",
            &["--log-level", "vitalmesh=loud"],
            none,
            "--log-level",
        ),
        ("edge", &["--no-such-setting"], none, "--no-such-setting"),
        ("edge", &["--max-calls"], none, "--max-calls"),
        ("edge", &[], &[("MAX_CALLS", "x")], "MAX_CALLS"),
        (
            "time",
            &["--heartbeat-cron", "* * * *"],
            none,
            "--heartbeat-cron",
        ),
        ("time", &["--edge-url", ""], none, "--edge-url"),
        (
            "time",
            &[],
            &[("HEARTBEAT_CRON", "\u{1b}[31m\n\noften")],
            "HEARTBEAT_CRON",
        ),
        ("revert-name", &["--faults", "perhaps"], none, "--faults"),
        ("revert-name", &["frobnicate"], none, "frobnicate"),
        ("mesh", &["up", "--bind", "localhost"], none, "--bind"),
        ("mesh", &["down"], none, "down"),
    ] {
        let free = [
            "--grpc-address",
            "127.0.0.1:0",
            "--scrape-address",
            "127.0.0.1:0",
        ];
        let free = free
            .chunks(2)
            .filter(|pair| !flags.contains(&pair[0]) && program != "mesh");
        let words = [flags, &free.flatten().copied().collect::<Vec<_>>()].concat();
        let output = run(program, &words, variables).await;
        let lines = lines_of(&output.stderr);
        assert_eq!(
            output.status.code(),
            Some(2),
            "{program} {flags:?}: {lines:?}"
        );
        assert_eq!(lines.len(), 1, "{program} {flags:?}: {lines:?}");
        assert!(lines[0].contains(setting), "{program} {flags:?}: {lines:?}");
        let raw = lines[0].chars().any(char::is_control);
        assert!(!raw, "{program} {flags:?}: {lines:?}");
        assert!(output.stdout.is_empty(), "{program} {flags:?}");
    }
}

#[tokio::test]
async fn a_taken_port_is_one_line_that_names_its_setting_and_nothing_starts() {
    let taken = TcpListener::bind((own_ip(), 0)).unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let data = tempfile::tempdir().unwrap();
    let folder = data.path().join("unmade");
    for setting in ["--grpc-address", "--http-address", "--scrape-address"] {
        let mut words = vec!["--data-dir", folder.to_str().unwrap(), setting, &address];
        for other in ["--grpc-address", "--http-address", "--scrape-address"] {
            if other != setting {
                words.extend([other, "127.0.0.1:0"]);
            }
        }
        let output = run("edge", &words, &[]).await;
        let lines = lines_of(&output.stderr);
        assert_eq!(
            (output.status.code(), lines.len()),
            (Some(2), 1),
            "{lines:?}"
        );
        assert!(
            lines[0].contains(setting) && lines[0].contains(&address),
            "{lines:?}"
        );
        assert!(!Path::new(&folder).exists(), "the data folder was made");
    }
}

#[tokio::test]
async fn mesh_up_starts_nothing_when_one_of_its_ports_is_taken() {
    let ip = own_ip();
    let _taken = TcpListener::bind((ip, 50051)).unwrap();
    let data = tempfile::tempdir().unwrap();
    let folder = data.path().join("unmade");
    let bind = ip.to_string();
    let words = [
        "up",
        "--bind",
        &bind,
        "--data-dir",
        folder.to_str().unwrap(),
    ];
    let output = run("mesh", &words, &[]).await;
    let lines = lines_of(&output.stderr);
    assert_eq!(
        (output.status.code(), lines.len()),
        (Some(2), 1),
        "{lines:?}"
    );
    assert!(lines[0].contains(&format!("{ip}:50051")), "{lines:?}");
    assert_eq!(lines_of(&output.stdout), [""; 0]);
    assert!(!folder.exists(), "the data folder was made");
    assert!(!connects((ip, 8012).into()).await);
}

#[tokio::test]
async fn a_second_edge_on_the_same_data_is_refused_in_one_line() {
    let data = tempfile::tempdir().unwrap();
    let folder = data.path().to_str().unwrap();
    let edge = Program::service("edge", &["--data-dir", folder]);
    edge.address("grpc").await;
    let free = "127.0.0.1:0";
    let words = [
        "--data-dir",
        folder,
        "--log-level",
        "error",
        "--grpc-address",
        free,
        "--scrape-address",
        free,
        "--http-address",
        free,
    ];
    let output = run("edge", &words, &[]).await;
    let lines = lines_of(&output.stderr);
    assert_eq!(
        (output.status.code(), lines.len()),
        (Some(2), 1),
        "{lines:?}"
    );
    assert!(lines[0].contains("in use by another process"), "{lines:?}");
}

#[tokio::test]
async fn help_and_version_are_no_errors() {
    let services = ServiceInfo::all();
    let programs = services.iter().map(|service| service.name);
    for program in programs.chain(["mesh"]) {
        let help = run(program, &["--help"], &[]).await;
        assert_eq!(
            (help.status.code(), help.stderr.as_slice()),
            (Some(0), b"".as_slice())
        );
        let version = run(program, &["--version"], &[]).await;
        let expected = format!("{program} {}", env!("CARGO_PKG_VERSION"));
        assert_eq!(lines_of(&version.stdout), [expected]);
    }
    let help = run("edge", &["--help"], &[]).await;
    let help = String::from_utf8(help.stdout).unwrap();
    for setting in [
        "--grpc-address",
        "GRPC_ADDRESS",
        "127.0.0.1:50053",
        "--data-dir",
        "--lame-duck",
    ] {
        assert!(help.contains(setting), "{setting} is not in {help}");
    }
}

#[tokio::test]
async fn a_trace_is_one_in_the_logs_of_every_service_it_passes() {
    let level = [
        "--log-format",
        "json",
        "--log-level",
        "info,vitalmesh=debug",
    ];
    let trio = Trio::start(&level).await;
    let http = trio.edge.address("http").await;
    let trace = "4bf92f3577b34da6a3ce929d0e0e4736";
    let header = format!("00-{trace}-00f067aa0ba902b7-01");
    let request = Request::get("/proxy/Ana").header("traceparent", header);
    assert_eq!(send(http, request).await.unwrap().status, 200);
    for (program, method) in [
        (&trio.edge, "/proxy/{name}"),
        (
            &trio.revert_name,
            "/vitalmesh.revert_name.v1.RevertNameService/RevertName",
        ),
        (&trio.time, "/vitalmesh.time.v1.TimeService/WhatTimeIs"),
    ] {
        let line = eventually("a line of the trace", async || {
            let lines = program.lines().into_iter();
            let mut lines = lines.filter_map(|line| serde_json::from_str::<Value>(&line).ok());
            lines.find(|line| line["trace_id"] == trace && line["message"] == "call ended")
        })
        .await;
        assert_eq!(line["method"], method);
        assert!(line["elapsed_ms"].as_f64() > Some(0.0), "{line}");
        let peer: SocketAddr = line["peer"].as_str().unwrap().parse().unwrap();
        assert!(peer.ip().is_loopback());
    }
    let traced = |program: &Program| {
        let ended = program
            .lines()
            .into_iter()
            .filter(|line| line.contains("call ended"));
        ended
            .filter_map(|line| {
                let line: Value = serde_json::from_str(&line).unwrap();
                Some(line["trace_id"].as_str()?.to_owned())
            })
            .collect::<Vec<_>>()
    };
    assert_eq!(get(http, "/proxy/Ana").await.status, 200);
    let traces = eventually("a second trace", async || {
        let traces = traced(&trio.time);
        (traces.len() >= 2).then_some(traces)
    })
    .await;
    assert_ne!(
        traces[1], trace,
        "a call without a traceparent has a trace of its own"
    );
    assert_eq!(traces[1].len(), 32);
}

#[tokio::test]
async fn nothing_that_a_client_sends_is_raw_in_a_log() {
    for format in ["json", "human"] {
        let flags = [
            "--log-level",
            "info,vitalmesh=debug",
            "--log-format",
            format,
        ];
        let leaf = Program::service("revert-name", &flags);
        let data = tempfile::tempdir().unwrap();
        let folder = data.path().to_str().unwrap();
        let (grpc, scrape, http) = (free_address(), free_address(), free_address());
        let leaf_address = async || match format {
            "json" => leaf.address("grpc").await,
            _ => human_address(&leaf).await,
        };
        let leaf_url = format!("http://{}", leaf_address().await);
        let addresses = [grpc, scrape, http].map(|address| address.to_string());
        let own = [
            "--data-dir",
            folder,
            "--revert-name-url",
            &leaf_url,
            "--grpc-address",
            &addresses[0],
            "--scrape-address",
            &addresses[1],
            "--http-address",
            &addresses[2],
        ];
        let edge = Program::start("edge", [own.as_slice(), &flags].concat());
        eventually("the edge serves", async || {
            connects(http).await.then_some(())
        })
        .await;

        let marked = "Zaphod%1b%5B31m%0d%0a%00%e2%80%ae%c2%85";
        for path in ["/proxy/", "/", "/proxy/%ff", "/heartbeats/"] {
            let request = Request::get(format!("{path}{marked}"))
                .header("user-agent", "Zaphod")
                .header("traceparent", "Zaphod")
                .header("x-request-id", "Zaphod");
            send(http, request).await.unwrap();
        }
        let mut stranger = RevertNameServiceClient::new(channel(grpc));
        let name = "Zaphod\u{1b}[31m\r\n".to_owned();
        stranger
            .revert_name(RevertNameRequest { name, delay: 0 })
            .await
            .unwrap_err();
        let mut client = HeartbeatServiceClient::new(channel(grpc));
        for (service_name, instance) in [("Zaphod\n", ""), ("ok", "Zaphod\u{1b}")] {
            let beat = BeatHeartRequest {
                service_name: service_name.to_owned(),
                instance: instance.to_owned(),
                ..BeatHeartRequest::default()
            };
            client.beat_heart(beat).await.unwrap_err();
        }
        let last = eventually("the last call is logged", async || {
            let lines = edge.lines();
            let ended = lines
                .iter()
                .filter(|line| line.contains("call ended"))
                .count();
            (ended >= 7).then_some(lines)
        })
        .await;
        for line in last.iter().chain(&leaf.lines()) {
            assert!(!line.contains("Zaphod"), "{line:?}");
            assert!(!line.chars().any(char::is_control), "{line:?}");
            assert!(!line.contains('\u{202e}'), "{line:?}");
        }
    }
}

async fn human_address(program: &Program) -> SocketAddr {
    eventually("the program serves", async || {
        let lines = program.lines();
        let serving = lines.iter().find(|line| line.contains(" serving "))?;
        let grpc = serving.split(" grpc=").nth(1)?;
        grpc.split(' ').next()?.parse().ok()
    })
    .await
}

#[tokio::test]
async fn a_program_out_of_descriptors_waits_for_one_without_spinning() {
    let time = Program::service("time", &["--edge-url", "http://127.0.0.1:9"]);
    let address = time.address("grpc").await;
    // The first heartbeat is done with the descriptors that it takes.
    time.logged("task failed").await;
    time.limit_descriptors(time.descriptors() + 3);
    let mut held = Vec::new();
    for _ in 0..20 {
        held.push(TcpStream::connect(address).await.unwrap());
    }
    time.logged("cannot accept connections, retrying").await;

    // Half a second of nothing but failing: stock tonic takes 50 of these ticks.
    let before = time.processor_ticks();
    tokio::time::sleep(Duration::from_millis(500)).await;
    let spent = time.processor_ticks() - before;
    assert!(spent <= 10, "{spent} ticks");

    held.clear();
    time.logged("accepting connections again").await;
    // Once each time that it ran out, which is for at most every third connection of the queue.
    let warned = time.lines().into_iter();
    let warned = warned.filter(|line| line.contains("cannot accept"));
    assert!(warned.count() <= 7);
}
