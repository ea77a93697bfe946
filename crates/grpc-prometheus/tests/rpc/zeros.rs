//! Series that exist before the first call.

use grpc_prometheus::{Builder, ClientMetrics, CodeLabel, Exposition, LabelStyle, ZeroInit};

use crate::{
    echo::echo_descriptor_set,
    expect::page,
    names::{U, fixture, fresh},
};

const GO: &str = "OK Canceled Unknown InvalidArgument DeadlineExceeded NotFound AlreadyExists \
    PermissionDenied ResourceExhausted FailedPrecondition Aborted OutOfRange Unimplemented \
    Internal Unavailable DataLoss Unauthenticated";

const PYTHON: &str = "OK CANCELLED UNKNOWN INVALID_ARGUMENT DEADLINE_EXCEEDED NOT_FOUND \
    ALREADY_EXISTS PERMISSION_DENIED RESOURCE_EXHAUSTED FAILED_PRECONDITION ABORTED OUT_OF_RANGE \
    UNIMPLEMENTED INTERNAL UNAVAILABLE DATA_LOSS UNAUTHENTICATED";

/// The page of a new registration, built by plain formatting.
fn zeros(side: &str, kinds: [&str; 4], codes: &str) -> String {
    let methods = ["Bidi", "Client", "Server", "Unary"];
    let labels = |method: &str| {
        let index = methods.iter().position(|name| *name == method).unwrap();
        let kind = kinds[index];
        format!("grpc_method=\"{method}\",grpc_service=\"t.v1.Echo\",grpc_type=\"{kind}\"")
    };
    let mut page = String::new();
    let mut family = |name: &str, help: &str, kind: &str, lines: &dyn Fn(&str) -> String| {
        let name = format!("grpc_{side}_{name}");
        page += &format!("# HELP {name} {help}\n# TYPE {name} {kind}\n");
        page += &methods
            .map(|method| lines(method).replace("NAME", &name))
            .concat();
    };
    let plain = |method: &str| format!("NAME{{{}}} 0\n", labels(method));
    family(
        "handled_total",
        "Total number of RPCs completed, by gRPC code.",
        "counter",
        &|method| {
            let line = |code| format!("NAME{{grpc_code=\"{code}\",{}}} 0\n", labels(method));
            codes.split_whitespace().map(line).collect()
        },
    );
    let help = "Time in seconds from the start of an RPC to its end.";
    family("handling_seconds", help, "histogram", &|method| {
        let labels = labels(method);
        let bounds = "0.00001 0.000025 0.00005 0.0001 0.00025 0.0005 0.001 0.0025 0.005 0.01 0.025 0.05 0.075 0.1 0.25 0.5 \
            0.75 1 2.5 5 7.5 10 +Inf";
        let line = |le| format!("NAME_bucket{{{labels},le=\"{le}\"}} 0\n");
        let buckets: String = bounds.split_whitespace().map(line).collect();
        format!("{buckets}NAME_sum{{{labels}}} 0\nNAME_count{{{labels}}} 0\n")
    });
    family(
        "in_flight",
        "RPCs started and not yet completed.",
        "gauge",
        &plain,
    );
    family(
        "msg_received_total",
        "Total number of messages received.",
        "counter",
        &plain,
    );
    family(
        "msg_sent_total",
        "Total number of messages sent.",
        "counter",
        &plain,
    );
    family(
        "started_total",
        "Total number of RPCs started.",
        "counter",
        &plain,
    );
    page
}

const GO_KINDS: [&str; 4] = ["bidi_stream", "client_stream", "server_stream", "unary"];

// M1 M7
#[test]
fn a_fresh_server_shows_every_series_at_zero() {
    assert_eq!(
        page(&fresh(|builder| builder)),
        zeros("server", GO_KINDS, GO)
    );
}

// M2
#[test]
fn a_fresh_client_shows_every_series_at_zero() {
    let exposition = Exposition::default();
    let builder = ClientMetrics::builder().descriptor_set(&echo_descriptor_set());
    builder.register(&exposition).unwrap();
    assert_eq!(page(&exposition), zeros("client", GO_KINDS, GO));
}

// M6
#[test]
fn the_python_style_has_its_spellings() {
    let kinds = [
        "BIDI_STREAMING",
        "CLIENT_STREAMING",
        "SERVER_STREAMING",
        "UNARY",
    ];
    let exposition = fresh(|builder| builder.label_style(LabelStyle::Python));
    assert_eq!(page(&exposition), zeros("server", kinds, PYTHON));
}

// M8
#[test]
fn without_the_histogram_only_the_histogram_is_missing() {
    let page = page(&fresh(Builder::without_handling_histogram));
    let expected = zeros("server", GO_KINDS, GO);
    let expected: String = expected
        .lines()
        .filter(|line| !line.contains("handling_seconds"))
        .map(|line| format!("{line}\n"))
        .collect();
    assert_eq!(page, expected);
}

/// The codes of the handling-time histograms of the unary method.
fn codes(page: &str) -> Vec<&str> {
    let name = "grpc_server_handling_seconds_count{grpc_code=\"";
    let counts = page.lines().filter_map(|line| line.strip_prefix(name));
    let unary = counts.filter(|line| line.contains(U));
    unary.filter_map(|line| line.split('"').next()).collect()
}

#[tokio::test]
async fn with_a_histogram_per_code_those_of_errors_appear_with_their_first_call() {
    let mut fixture = fixture(|builder| builder.code_on_histogram(CodeLabel::Full));
    assert_eq!(codes(&page(&fixture.exposition)), ["OK"]);
    let handled = page(&fixture.exposition);
    let handled = handled
        .lines()
        .filter(|line| line.starts_with("grpc_server_handled_total{"));
    assert_eq!(handled.count(), 4 * 17);
    fixture.echo.unary("err5").await.unwrap_err();
    assert_eq!(codes(&page(&fixture.exposition)), ["OK", "NotFound"]);

    for (code_label, zero_init, expected) in [
        (CodeLabel::Full, ZeroInit::OkOnly, &["OK"][..]),
        (CodeLabel::Full, ZeroInit::None, &[]),
        (CodeLabel::OkError, ZeroInit::All, &["OK", "error"]),
        (CodeLabel::OkError, ZeroInit::OkOnly, &["OK"]),
    ] {
        let builder =
            |builder: Builder<_>| builder.code_on_histogram(code_label).zero_init(zero_init);
        assert_eq!(
            codes(&page(&fresh(builder))),
            expected,
            "{code_label:?} {zero_init:?}"
        );
    }
}

// M13
#[tokio::test]
async fn series_that_do_not_start_at_zero_start_with_their_first_call() {
    let mut fixture = fixture(|builder| builder.zero_init(ZeroInit::None));
    assert_eq!(page(&fixture.exposition), "");
    fixture.echo.unary("err5").await.unwrap_err();
    let page = page(&fixture.exposition);
    let series = page.lines().filter(|line| {
        !line.starts_with('#') && !line.contains("_bucket{") && !line.contains("_sum{")
    });
    assert_eq!(
        series.collect::<Vec<_>>(),
        [
            format!("grpc_server_handled_total{{grpc_code=\"NotFound\",{U}}} 1"),
            format!("grpc_server_handling_seconds_count{{{U}}} 1"),
            format!("grpc_server_in_flight{{{U}}} 0"),
            format!("grpc_server_msg_received_total{{{U}}} 1"),
            format!("grpc_server_msg_sent_total{{{U}}} 0"),
            format!("grpc_server_started_total{{{U}}} 1"),
        ]
    );
}
