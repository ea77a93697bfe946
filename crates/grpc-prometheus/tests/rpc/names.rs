//! Exact names, labels and spellings.

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

// M14
#[test]
fn names_with_equal_concatenations_are_two_series() {
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
