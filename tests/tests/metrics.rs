//! The numbers: there before the first call, moved by exactly the calls made, served as pages.

use std::collections::BTreeMap;

use http::Request;
use tonic::Code;
use vitalmesh_proto::revert_name::v1::RevertNameRequest;
use vitalmesh_proto::revert_name::v1::revert_name_service_client::RevertNameServiceClient;
use vitalmesh_proto::time::v1::WhatTimeIsRequest;
use vitalmesh_proto::time::v1::time_service_client::TimeServiceClient;
use vitalmesh_tests::{Mesh, Scrape, channel, eventually, eventually_eq, get, scrape, send};

const REVERT: (&str, &str) = ("vitalmesh.revert_name.v1.RevertNameService", "RevertName");
const TIME: (&str, &str) = ("vitalmesh.time.v1.TimeService", "WhatTimeIs");
const BEAT: (&str, &str) = ("vitalmesh.heartbeat.v1.HeartbeatService", "BeatHeart");

/// As Go spells them.
const CODES: [&str; 17] = [
    "OK",
    "Canceled",
    "Unknown",
    "InvalidArgument",
    "DeadlineExceeded",
    "NotFound",
    "AlreadyExists",
    "PermissionDenied",
    "ResourceExhausted",
    "FailedPrecondition",
    "Aborted",
    "OutOfRange",
    "Unimplemented",
    "Internal",
    "Unavailable",
    "DataLoss",
    "Unauthenticated",
];

type Moved = BTreeMap<String, f64>;

/// What `ok` answered calls and the calls that ended with `faults` add to one side's counts.
fn calls(side: &str, (service, method): (&str, &str), ok: u32, faults: &[(&str, u32)]) -> Moved {
    let labels = format!("grpc_method=\"{method}\",grpc_service=\"{service}\",grpc_type=\"unary\"");
    let all = ok + faults.iter().map(|(_, count)| count).sum::<u32>();
    let (requests, responses) = match side {
        "server" => ("received", "sent"),
        _ => ("sent", "received"),
    };
    let mut moved = Moved::from([
        (format!("grpc_{side}_started_total{{{labels}}}"), all.into()),
        (
            format!("grpc_{side}_handling_seconds_count{{{labels}}}"),
            all.into(),
        ),
        (
            format!("grpc_{side}_msg_{requests}_total{{{labels}}}"),
            all.into(),
        ),
        (
            format!("grpc_{side}_msg_{responses}_total{{{labels}}}"),
            ok.into(),
        ),
    ]);
    for (code, count) in faults.iter().chain(&[("OK", ok)]) {
        let series = format!("grpc_{side}_handled_total{{grpc_code=\"{code}\",{labels}}}");
        moved.insert(series, (*count).into());
    }
    moved.retain(|_, count| *count != 0.0);
    moved
}

fn requests(route: &str, method: &str, statuses: &[(u16, u32)]) -> Moved {
    let all: u32 = statuses.iter().map(|(_, count)| count).sum();
    let series = format!(
        "http_server_request_duration_seconds_count{{method=\"{method}\",route=\"{route}\"}}"
    );
    let counted = |(status, count): &(u16, u32)| {
        let labels = format!("method=\"{method}\",route=\"{route}\",status=\"{status}\"");
        (
            format!("http_server_requests_total{{{labels}}}"),
            f64::from(*count),
        )
    };
    let mut moved: Moved = statuses.iter().map(counted).collect();
    moved.insert(series, all.into());
    moved
}

fn sum(parts: impl IntoIterator<Item = Moved>) -> Moved {
    parts.into_iter().flatten().collect()
}

async fn scrapes(mesh: &Mesh) -> [Scrape; 3] {
    [
        scrape(mesh.edge.addresses().scrape).await,
        scrape(mesh.revert_name.addresses().scrape).await,
        scrape(mesh.time.addresses().scrape).await,
    ]
}

/// Started, and every beat that is sent at the start has been counted at both ends.
async fn at_rest() -> (Mesh, [Scrape; 3]) {
    let mesh = Mesh::start().await;
    let nothing = Scrape::default();
    let beats = [
        calls("server", BEAT, 2, &[]),
        calls("client", BEAT, 1, &[]),
        calls("client", BEAT, 1, &[]),
    ];
    eventually_eq(beats, async || {
        scrapes(&mesh).await.map(|page| page.calls_since(&nothing))
    })
    .await;
    let before = scrapes(&mesh).await;
    (mesh, before)
}

async fn moved(mesh: &Mesh, before: &[Scrape; 3]) -> [Moved; 3] {
    let [edge, revert_name, time] = scrapes(mesh).await;
    [
        edge.calls_since(&before[0]),
        revert_name.calls_since(&before[1]),
        time.calls_since(&before[2]),
    ]
}

#[tokio::test]
async fn the_counts_move_by_the_calls_made_and_nothing_else_moves() {
    let (mesh, before) = at_rest().await;
    for _ in 0..5 {
        assert_eq!(get(mesh.http(), "/proxy/Ana").await.status, 200);
    }
    assert_eq!(get(mesh.http(), "/proxy/Bo/").await.status, 200);
    assert_eq!(get(mesh.http(), "/proxy/%ff").await.status, 400);
    assert_eq!(get(mesh.http(), "/no/such/path").await.status, 404);
    let post = Request::post("/proxy/Ana");
    assert_eq!(send(mesh.http(), post).await.unwrap().status, 405);

    let expected = [
        sum([
            calls("client", REVERT, 6, &[]),
            calls("client", TIME, 6, &[]),
            requests("/proxy/{name}", "GET", &[(200, 5), (400, 1)]),
            requests("/proxy/{name}/", "GET", &[(200, 1)]),
            requests("/proxy/{name}", "POST", &[(405, 1)]),
            requests("unknown", "GET", &[(404, 1)]),
        ]),
        calls("server", REVERT, 6, &[]),
        calls("server", TIME, 6, &[]),
    ];
    eventually_eq(expected, async || moved(&mesh, &before).await).await;
}

#[tokio::test]
async fn a_fault_is_counted_under_its_code_and_a_stranger_under_unknown() {
    let (mesh, before) = at_rest().await;
    let to_revert_name = channel(mesh.revert_name.addresses().grpc);
    let mut client = RevertNameServiceClient::new(to_revert_name.clone());
    for (name, delay) in [
        ("not_found", 0),
        ("not_found", 0),
        ("aborted", 0),
        ("exception", 0),
        ("Ana", -1),
    ] {
        let name = name.to_owned();
        client
            .revert_name(RevertNameRequest { name, delay })
            .await
            .unwrap_err();
    }
    let mut stranger = TimeServiceClient::new(to_revert_name);
    for _ in 0..3 {
        let status = stranger
            .what_time_is(WhatTimeIsRequest {})
            .await
            .unwrap_err();
        assert_eq!(status.code(), Code::Unimplemented);
    }

    let faults = [
        ("NotFound", 2),
        ("Aborted", 1),
        ("Internal", 1),
        ("InvalidArgument", 1),
    ];
    let expected = calls("server", REVERT, 0, &faults);
    let known = async || {
        let mut moved = moved(&mesh, &before).await;
        let known = |series: &String, _: &mut f64| !series.contains("grpc_service=\"unknown\"");
        let [edge, mut revert_name, time] = std::mem::take(&mut moved);
        revert_name.retain(known);
        [edge, revert_name, time]
    };
    eventually_eq([Moved::new(), expected, Moved::new()], known).await;
    let page = scrape(mesh.revert_name.addresses().scrape).await;
    let unknown =
        page.of("grpc_server_handled_total{grpc_code=\"Unimplemented\",grpc_method=\"unknown\"");
    assert_eq!(unknown.len(), 1, "{unknown:?}");
    assert_eq!(page.value(unknown[0]), Some(3.0));
    // With the old name of RevertName.
    assert_eq!(page.of("grpc_server_started_total{").len(), 3);
}

#[tokio::test]
async fn a_client_counts_what_its_caller_sees() {
    let (mesh, before) = at_rest().await;
    let Mesh {
        edge,
        revert_name,
        time,
        data: _data,
    } = mesh;
    let (http, page) = (edge.addresses().http.unwrap(), edge.addresses().scrape);
    tokio::join!(revert_name.stop(), time.stop());
    eventually("a refused call", async || {
        (get(http, "/proxy/Ana").await.status == 503).then_some(())
    })
    .await;
    let labels = |(service, method)| {
        format!("grpc_method=\"{method}\",grpc_service=\"{service}\",grpc_type=\"unary\"")
    };
    let after = scrape(page).await;
    let moved = after.calls_since(&before[0]);
    let unavailable: f64 = [REVERT, TIME]
        .into_iter()
        .filter_map(|method| {
            let labels = labels(method);
            moved.get(&format!(
                "grpc_client_handled_total{{grpc_code=\"Unavailable\",{labels}}}"
            ))
        })
        .sum();
    assert!(unavailable >= 1.0, "{moved:#?}");
}

#[tokio::test]
async fn every_series_of_a_known_method_is_there_before_its_first_call() {
    let mesh = Mesh::start().await;
    let served = [
        (&mesh.edge, BEAT),
        (&mesh.revert_name, REVERT),
        (&mesh.time, TIME),
    ];
    for (service, (contract, method)) in served {
        let page = scrape(service.addresses().scrape).await;
        let labels =
            format!("grpc_method=\"{method}\",grpc_service=\"{contract}\",grpc_type=\"unary\"");
        let mut expected: Vec<_> = ["started", "msg_received", "msg_sent"]
            .map(|family| format!("grpc_server_{family}_total{{{labels}}}"))
            .into();
        expected.extend(
            CODES.map(|code| format!("grpc_server_handled_total{{grpc_code=\"{code}\",{labels}}}")),
        );
        expected.push(format!("grpc_server_handling_seconds_count{{{labels}}}"));
        for series in expected {
            let at_rest = service.name() != "edge";
            let value = page.value(&series);
            assert_eq!(
                value.filter(|value| !at_rest || *value == 0.0),
                value,
                "{series}"
            );
            assert!(value.is_some(), "{series} is missing");
        }
    }
    let page = scrape(mesh.edge.addresses().scrape).await;
    for (contract, method) in [REVERT, TIME] {
        for code in CODES {
            let series = format!(
                "grpc_client_handled_total{{grpc_code=\"{code}\",grpc_method=\"{method}\",grpc_service=\"{contract}\",grpc_type=\"unary\"}}"
            );
            assert_eq!(page.value(&series), Some(0.0), "{series}");
        }
    }
    for outcome in ["success", "error", "skipped"] {
        let series =
            format!("mesh_task_runs_total{{outcome=\"{outcome}\",task=\"prune-heartbeats\"}}");
        assert!(page.value(&series).is_some(), "{series} is missing");
    }
}

#[tokio::test]
async fn no_client_makes_a_series() {
    let (mesh, _) = at_rest().await;
    get(mesh.http(), "/proxy/Ana").await;
    get(mesh.http(), "/unknown").await;
    let before = scrapes(&mesh).await.map(|page| page.of("").len());
    for number in 0..50 {
        get(mesh.http(), &format!("/proxy/name-{number}")).await;
        get(mesh.http(), &format!("/unknown/{number}")).await;
    }
    assert_eq!(scrapes(&mesh).await.map(|page| page.of("").len()), before);
}

#[tokio::test]
async fn each_service_says_what_it_is_and_how_its_process_and_tasks_do() {
    let (mesh, pages) = at_rest().await;
    for (page, task) in pages
        .iter()
        .zip(["prune-heartbeats", "heartbeat", "heartbeat"])
    {
        let build = page.of("mesh_build_info{");
        assert_eq!(build.len(), 1);
        assert_eq!(page.value(build[0]), Some(1.0));
        assert!(build[0].contains(&format!("version=\"{}\"", env!("CARGO_PKG_VERSION"))));
        assert!(page.value("process_resident_memory_bytes") > Some(1e6));
        assert!(page.value("tokio_alive_tasks") > Some(0.0));
        let of = |family: &str| page.value(&format!("mesh_task_{family}{{task=\"{task}\"}}"));
        assert!(of("last_success_timestamp_seconds") > Some(1.7e9));
        assert!(of("next_run_timestamp_seconds") > of("last_success_timestamp_seconds"));
        assert!(of("interval_seconds") >= Some(600.0));
        assert_eq!(of("duration_seconds_count"), Some(1.0));
    }
    mesh.stop().await;
}

#[tokio::test]
async fn the_scrape_port_has_four_pages_and_the_edge_one_more() {
    let mesh = Mesh::start().await;
    for service in [&mesh.edge, &mesh.revert_name, &mesh.time] {
        let address = service.addresses().scrape;
        for (path, content_type, body) in [
            (
                "/",
                "text/plain; version=0.0.4; charset=utf-8",
                "mesh_build_info",
            ),
            (
                "/metrics",
                "text/plain; version=0.0.4; charset=utf-8",
                "mesh_build_info",
            ),
            ("/livez", "text/plain; charset=utf-8", "ok\n"),
            ("/readyz", "text/plain; charset=utf-8", "ok\n"),
        ] {
            let page = get(address, path).await;
            assert_eq!(
                (page.status, page.header("content-type")),
                (200, content_type),
                "{path}"
            );
            assert!(page.body.contains(body), "{path}: {}", page.body);
        }
        assert_eq!(get(address, "/nothing").await.status, 404);
        let post = send(address, Request::post("/metrics")).await.unwrap();
        assert_eq!(post.status, 405);
        let browser = Request::get("/").header("accept", "text/html,*/*;q=0.8");
        let page = send(address, browser).await.unwrap();
        assert_eq!(page.header("content-type"), "text/html; charset=utf-8");
        assert!(
            page.body
                .contains(&format!("<title>{}</title>", service.name()))
        );
    }
    let page = get(mesh.http(), "/prometheus/metrics").await;
    assert_eq!(
        page.header("content-type"),
        "text/plain; version=0.0.4; charset=utf-8"
    );
    assert_eq!(Scrape::parse(&page.body).of("mesh_build_info{").len(), 1);
}

#[tokio::test]
async fn connections_are_counted_as_they_open_and_close() {
    let (mesh, before) = at_rest().await;
    let counts = |page: &Scrape| {
        ["", "_opened_total", "_closed_total"].map(|suffix| {
            let series = format!("grpc_server_connections{suffix}");
            page.value(&series).unwrap()
        })
    };
    let counted = async || counts(&scrape(mesh.edge.addresses().scrape).await);
    // Those of the two leaves' heartbeats.
    assert_eq!(counts(&before[0]), [2.0, 2.0, 0.0]);
    let mute = tokio::net::TcpStream::connect(mesh.edge.addresses().grpc).await;
    eventually_eq([3.0, 3.0, 0.0], &counted).await;
    drop(mute.unwrap());
    eventually_eq([2.0, 3.0, 1.0], &counted).await;
}
