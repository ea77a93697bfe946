//! When counters and histograms started at zero.

use std::time::{SystemTime, UNIX_EPOCH};

use grpc_prometheus::{CodeLabel, Exposition, ServerMetrics};

use crate::{
    echo::echo_descriptor_set,
    expect::{openmetrics, page},
    names::{U, fixture, fresh},
};

fn now() -> f64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    now.as_secs_f64()
}

fn without_created(page: &str) -> String {
    let is_created = |line: &&str| line.split('{').next().unwrap().contains("_created");
    let lines = page.lines().filter(|line| !is_created(line));
    lines.map(|line| format!("{line}\n")).collect()
}

#[tokio::test]
async fn counters_and_histograms_say_in_openmetrics_when_they_were_zero() {
    let before = now() - 0.001;
    let mut fixture = fixture(|builder| builder.start_timestamps(true));
    fixture.echo.unary("err5").await.unwrap_err();
    let _open = fixture.server.connection(());
    let after = now();
    let page = openmetrics(&fixture.exposition);
    for series in [
        format!("grpc_server_started_created{{{U}}}"),
        format!("grpc_server_handled_created{{grpc_code=\"NotFound\",{U}}}"),
        format!("grpc_server_msg_sent_created{{{U}}}"),
        format!("grpc_server_handling_seconds_created{{{U}}}"),
        "grpc_server_connections_opened_created".to_owned(),
    ] {
        let line = page.lines().find_map(|line| line.strip_prefix(&series));
        let at: f64 = line.expect(&series).trim().parse().unwrap();
        assert!((before..=after).contains(&at), "{series} {at}");
    }
    assert!(!page.contains("in_flight_created") && !page.contains("connections_created"));
    // Four methods: 17 codes, three other counters and one histogram each; two of connections.
    assert_eq!(page.matches("_created").count(), 4 * (17 + 3 + 1) + 2);
    // Each is among the samples of its series.
    let started =
        format!("grpc_server_started_total{{{U}}} 1\ngrpc_server_started_created{{{U}}} ");
    assert!(page.contains(&started), "{page}");
}

#[test]
fn start_timestamps_are_off_by_default_and_change_nothing_else() {
    let configure = |builder: grpc_prometheus::Builder<ServerMetrics>| {
        builder
            .const_label("a", "b")
            .code_on_histogram(CodeLabel::OkError)
    };
    let (off, on) = (
        fresh(configure),
        fresh(|builder| configure(builder).start_timestamps(true)),
    );
    assert!(!openmetrics(&off).contains("_created"));
    assert_eq!(without_created(&openmetrics(&on)), openmetrics(&off));
    assert_eq!(page(&on), page(&off));
}

#[test]
fn a_family_that_loses_its_type_has_no_start() {
    let exposition = Exposition::default();
    let gauge = prometheus::IntGauge::new("grpc_server_started_created", "Mine.").unwrap();
    exposition.registry().register(Box::new(gauge)).unwrap();
    let builder = ServerMetrics::builder().descriptor_set(&echo_descriptor_set());
    builder
        .start_timestamps(true)
        .register(&exposition)
        .unwrap();
    let page = openmetrics(&exposition);
    assert!(
        page.contains("# TYPE grpc_server_started_total unknown\n"),
        "{page}"
    );
    assert_eq!(
        page.matches("\ngrpc_server_started_created").count(),
        1,
        "{page}"
    );
}
