//! Which series there are, from the start and for good.

use vitalmesh_tests::{Mesh, get, scrape};

use crate::fixture::{BEAT, REVERT, TIME, at_rest, scrapes};

/// The codes in Go's spelling.
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

#[tokio::test]
async fn every_series_of_a_method_exists_before_its_first_call() {
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
async fn no_request_creates_a_series() {
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
async fn each_service_has_build_process_and_task_metrics() {
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
