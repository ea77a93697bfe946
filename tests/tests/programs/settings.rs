//! Invalid settings, taken ports and claimed data; help and version.

use std::net::TcpListener;
use std::path::Path;

use vitalmesh_services::ServiceInfo;
use vitalmesh_tests::{Program, own_ip, run};

use crate::fixture::lines_of;

#[tokio::test]
async fn an_invalid_setting_is_one_line_with_its_name_and_code_2() {
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
        ("mesh", &["up", "--bind", "nowhere"], none, "--bind"),
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
async fn a_mistake_on_the_line_of_mesh_names_what_the_command_has() {
    let level = [("LOG_LEVEL", "critical")];
    for (words, variables, said) in [
        (
            &["up", "--bind", " nowhere"][..],
            &[][..],
            "' nowhere' for '--bind <BIND>': expected an IP",
        ),
        (&["up", "--bind="], &[], "'--bind <BIND>'"),
        (
            &["up", "--grpc-address", ":1"],
            &[],
            "unexpected argument '--grpc-address' found; see",
        ),
        (
            &["up", "--prometeus"],
            &[],
            "a similar argument exists: '--prometheus'; see",
        ),
        (
            &["up", "--bind", "127.0.0.79"],
            &level,
            "bookstore: invalid value 'critical' for the variable LOG_LEVEL: expected off, error",
        ),
        (
            &["demo", "--sty"],
            &[],
            "a similar argument exists: '--stay'; see",
        ),
        (
            &["services", "--jsn"],
            &[],
            "a similar argument exists: '--json'; see",
        ),
        (
            &["recommend", "many"],
            &[],
            "'many' for '<N>': expected a whole number; see",
        ),
        (
            &["recommend", "5", "--url", "localhost:1"],
            &[],
            "'--url <URL>': expected a URL such as",
        ),
        (
            &["healthcheck", "nowhere"],
            &[],
            "'nowhere' for '[ADDRESS]': expected an address such as",
        ),
        (
            &["count", "--via", "strem"],
            &[],
            "a similar value exists: 'stream'; see",
        ),
        (&["upp"], &[], "a similar command exists: 'up'; see"),
    ] {
        let output = run("mesh", words, variables).await;
        let lines = lines_of(&output.stderr);
        assert_eq!(
            (output.status.code(), lines.len()),
            (Some(2), 1),
            "{words:?}: {lines:?}"
        );
        assert!(lines[0].contains(said), "{words:?}: {lines:?}");
        assert!(!lines[0].contains(r"\n"), "{words:?}: {lines:?}");
        assert!(!lines[0].contains("--log-level"), "{words:?}: {lines:?}");
    }
}

#[tokio::test]
async fn mesh_up_on_a_taken_port_advises_what_it_can_do() {
    let _taken = TcpListener::bind("127.0.0.78:9993").unwrap();
    let data = tempfile::tempdir().unwrap();
    let words = [
        "up",
        "--bind",
        "127.0.0.78",
        "--data-dir",
        data.path().to_str().unwrap(),
    ];
    let output = run("mesh", &words, &[]).await;
    let lines = lines_of(&output.stderr);
    assert_eq!(
        (output.status.code(), lines.len()),
        (Some(2), 1),
        "{lines:?}"
    );
    assert!(
        lines[0].contains("cannot listen on 127.0.0.78:9993"),
        "{lines:?}"
    );
    assert!(lines[0].contains("another IP with --bind"), "{lines:?}");
    assert!(!lines[0].contains("-address"), "{lines:?}");
}

#[tokio::test]
async fn a_taken_port_is_one_line_with_its_setting_and_nothing_starts() {
    let taken = TcpListener::bind((own_ip(), 0)).unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let data = tempfile::tempdir().unwrap();
    let folder = data.path().join("missing");
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
        assert!(!Path::new(&folder).exists(), "the data folder was created");
    }
}

#[tokio::test]
async fn a_second_edge_on_the_same_data_is_rejected_in_one_line() {
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
async fn help_and_version_exit_with_code_0() {
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
