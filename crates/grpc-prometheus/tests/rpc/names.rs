//! Names, labels and formats, letter for letter.

use grpc_prometheus::{
    Builder, ClientMetrics, CodeLabel, Exposition, LabelStyle, ServerMetrics, ZeroInit,
};

use crate::{
    caller::drain,
    duplex::Fixture,
    echo::{Echo, descriptor_set, echo_descriptor_set, texts},
    expect::{eventually, openmetrics, page},
};

pub(crate) const U: &str = "grpc_method=\"Unary\",grpc_service=\"t.v1.Echo\",grpc_type=\"unary\"";

const GO: &str = "OK Canceled Unknown InvalidArgument DeadlineExceeded NotFound AlreadyExists \
    PermissionDenied ResourceExhausted FailedPrecondition Aborted OutOfRange Unimplemented \
    Internal Unavailable DataLoss Unauthenticated";

const PYTHON: &str = "OK CANCELLED UNKNOWN INVALID_ARGUMENT DEADLINE_EXCEEDED NOT_FOUND \
    ALREADY_EXISTS PERMISSION_DENIED RESOURCE_EXHAUSTED FAILED_PRECONDITION ABORTED OUT_OF_RANGE \
    UNIMPLEMENTED INTERNAL UNAVAILABLE DATA_LOSS UNAUTHENTICATED";

pub(crate) fn fresh(
    configure: impl FnOnce(Builder<ServerMetrics>) -> Builder<ServerMetrics>,
) -> Exposition {
    let exposition = Exposition::default();
    let builder = ServerMetrics::builder().descriptor_set(&echo_descriptor_set());
    configure(builder).register(&exposition).unwrap();
    exposition
}

pub(crate) fn fixture(
    configure: impl FnOnce(Builder<ServerMetrics>) -> Builder<ServerMetrics>,
) -> Fixture {
    let exposition = Exposition::default();
    let builder = ServerMetrics::builder().descriptor_set(&echo_descriptor_set());
    let server = configure(builder).register(&exposition).unwrap();
    let client = ClientMetrics::builder()
        .register(&Exposition::default())
        .unwrap();
    Fixture::with(exposition, server, &client, Echo::default())
}

/// The page that a fresh registration shows, made here in the plainest way.
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
        let bounds = "0.0001 0.00025 0.0005 0.001 0.0025 0.005 0.01 0.025 0.05 0.075 0.1 0.25 0.5 \
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

// M3
#[tokio::test]
async fn labels_are_in_the_order_of_their_names() {
    let mut fixture = fixture(|builder| builder);
    fixture.echo.unary("head").await.unwrap();
    let line = format!("grpc_server_handled_total{{grpc_code=\"OK\",{U}}} 1\n");
    assert!(eventually(|| page(&fixture.exposition).contains(&line)).await);
}

// M4
#[tokio::test]
async fn each_kind_has_its_type() {
    let mut fixture = fixture(|builder| builder);
    let requests = || futures_util::stream::iter(texts(1));
    fixture.echo.unary("head").await.unwrap();
    drain(fixture.echo.server("head").await.unwrap())
        .await
        .1
        .unwrap();
    fixture.echo.client("readall", requests()).await.unwrap();
    drain(fixture.echo.bidi("readall head", requests()).await.unwrap())
        .await
        .1
        .unwrap();
    let lines = [
        ("Unary", "unary"),
        ("Server", "server_stream"),
        ("Client", "client_stream"),
        ("Bidi", "bidi_stream"),
    ];
    for (method, kind) in lines {
        let labels =
            format!("grpc_method=\"{method}\",grpc_service=\"t.v1.Echo\",grpc_type=\"{kind}\"");
        let line = format!("grpc_server_started_total{{{labels}}} 1\n");
        assert!(page(&fixture.exposition).contains(&line), "{line}");
    }
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

// M9
#[test]
fn a_namespace_and_constant_labels_are_on_every_line() {
    let exposition = fresh(|builder| {
        let builder = builder.namespace("app").const_label("zone", "a");
        builder.const_label("dc", "x\"y")
    });
    let page = page(&exposition);
    let line = format!("app_grpc_server_started_total{{dc=\"x\\\"y\",{U},zone=\"a\"}} 0\n");
    assert!(page.contains(&line), "{page}");
    let line = format!(
        "app_grpc_server_handled_total{{dc=\"x\\\"y\",grpc_code=\"OK\",{U},zone=\"a\"}} 0\n"
    );
    assert!(page.contains(&line), "{page}");
    let samples = page.lines().filter(|line| !line.starts_with('#'));
    for sample in samples {
        assert!(
            sample.starts_with("app_grpc_server_") && sample.contains("zone=\"a\""),
            "{sample}"
        );
    }
}

#[test]
fn connections_carry_the_constant_labels_alone() {
    for (labels, expected) in [
        (&[][..], "grpc_server_connections 1\n"),
        (&[("zone", "a")], "grpc_server_connections{zone=\"a\"} 1\n"),
        (&[("dc", "b")], "grpc_server_connections{dc=\"b\"} 1\n"),
    ] {
        let exposition = Exposition::default();
        let builder = labels
            .iter()
            .fold(ServerMetrics::builder(), |builder, (name, value)| {
                builder.const_label(*name, *value)
            });
        let _open = builder.register(&exposition).unwrap().connection(());
        assert!(
            page(&exposition).contains(expected),
            "{}",
            page(&exposition)
        );
        assert!(
            openmetrics(&exposition).contains(expected),
            "{}",
            openmetrics(&exposition)
        );
    }
}

// M93
#[tokio::test]
async fn the_code_on_the_histogram_is_ok_or_error() {
    let mut fixture = fixture(|builder| builder.code_on_histogram(CodeLabel::OkError));
    fixture.echo.unary("head").await.unwrap();
    fixture.echo.unary("err5").await.unwrap_err();
    fixture.echo.unary("err9").await.unwrap_err();
    let page = page(&fixture.exposition);
    let counts: Vec<_> = page
        .lines()
        .filter(|line| line.contains("_seconds_count{"))
        .collect();
    assert_eq!(counts.len(), 2 * 4);
    assert_eq!(
        counts[6..],
        [
            format!("grpc_server_handling_seconds_count{{grpc_code=\"OK\",{U}}} 1"),
            format!("grpc_server_handling_seconds_count{{grpc_code=\"error\",{U}}} 2"),
        ]
    );
    let bucket =
        format!("grpc_server_handling_seconds_bucket{{grpc_code=\"error\",{U},le=\"+Inf\"}} 2\n");
    assert!(page.contains(&bucket));
}

#[tokio::test]
async fn the_code_on_the_histogram_is_every_code() {
    let mut fixture = fixture(|builder| {
        builder
            .code_on_histogram(CodeLabel::Full)
            .label_style(LabelStyle::Python)
            .zero_init(ZeroInit::OkOnly)
    });
    fixture.echo.unary("err5").await.unwrap_err();
    let page = page(&fixture.exposition);
    let counts: Vec<_> = page
        .lines()
        .filter(|line| line.contains("_seconds_count{") && line.contains("\"Unary\""))
        .collect();
    let labels = U.replace("\"unary\"", "\"UNARY\"");
    assert_eq!(
        counts,
        [
            format!("grpc_server_handling_seconds_count{{grpc_code=\"OK\",{labels}}} 0"),
            format!("grpc_server_handling_seconds_count{{grpc_code=\"NOT_FOUND\",{labels}}} 1"),
        ]
    );
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

// M14
#[test]
fn names_that_differ_only_in_where_they_are_cut_are_two_series() {
    let services = [
        ("Cart", &[("ItemAdd", false, false)][..]),
        ("CartItem", &[("Add", false, false)]),
    ];
    let exposition = Exposition::default();
    let builder = ServerMetrics::builder().descriptor_set(&descriptor_set("shop.v1", &services));
    builder.register(&exposition).unwrap();
    let page = page(&exposition);
    for (service, method) in [("Cart", "ItemAdd"), ("CartItem", "Add")] {
        let labels = format!(
            "grpc_method=\"{method}\",grpc_service=\"shop.v1.{service}\",grpc_type=\"unary\""
        );
        assert!(page.contains(&format!("grpc_server_started_total{{{labels}}} 0\n")));
    }
}

// M15
#[test]
fn odd_names_are_escaped_in_both_formats() {
    let services = [("S", &[("a\"b\\c\nd", false, false)][..])];
    let exposition = Exposition::default();
    let builder = ServerMetrics::builder().descriptor_set(&descriptor_set("p", &services));
    builder.register(&exposition).unwrap();
    let line = "grpc_server_started_total{grpc_method=\"a\\\"b\\\\c\\nd\",grpc_service=\"p.S\",\
        grpc_type=\"unary\"} 0\n";
    assert!(page(&exposition).contains(line));
    assert!(openmetrics(&exposition).contains(line));
}
