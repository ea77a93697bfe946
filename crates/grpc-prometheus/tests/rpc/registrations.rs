//! Registrations: shared, separate and rejected.

use std::error::Error as _;

use grpc_prometheus::{
    Buckets, Builder, ClientMetrics, CodeLabel, Error, Exposition, LabelStyle, ServerMetrics,
    ZeroInit,
};
use prometheus::{IntCounter, IntCounterVec, Opts};
use tonic::transport::Server;

use crate::{
    caller::EchoClient,
    duplex::Connection,
    echo::{Echo, descriptor_set, echo_descriptor_set},
    expect::{calls, eventually, exactly, expected, nonzero_samples, page, wait_for},
};

pub(crate) fn server() -> Builder<ServerMetrics> {
    ServerMetrics::builder().descriptor_set(&echo_descriptor_set())
}

// M10
#[tokio::test]
async fn layers_on_one_registry_share_one_set_of_series() {
    let exposition = Exposition::default();
    let servers = [
        server().register(&exposition).unwrap(),
        server().register(&exposition).unwrap(),
    ];
    let client = ClientMetrics::builder().descriptor_set(&echo_descriptor_set());
    let client = client.register(&exposition).unwrap();
    let lines = page(&exposition).lines().count();
    for metrics in &servers {
        let server = Server::builder().layer(metrics.layer());
        let connection = Connection::new(server, Echo::default().routes());
        let mut echo = EchoClient::new(connection.metered(&client.layer()));
        echo.unary("head").await.unwrap();
        drop(echo);
    }
    let line = |side: &str, name: &str| format!("{side} {name} Unary 2");
    let names = [
        "started",
        "handled OK",
        "handling",
        "msg_received",
        "msg_sent",
    ];
    let lines_of = |side| names.map(|name| line(side, name)).to_vec();
    wait_for(
        &exposition,
        exactly(&[lines_of("server"), lines_of("client")]),
    )
    .await;
    assert_eq!(page(&exposition).lines().count(), lines);
    assert_eq!(servers[0].snapshot(), servers[1].snapshot());
}

#[tokio::test]
async fn a_second_registration_adds_its_methods_to_the_first() {
    let exposition = Exposition::default();
    let first = server().register(&exposition).unwrap();
    let other = descriptor_set("t.v1", &[("Other", &[("Do", false, false)])]);
    let second = ServerMetrics::builder().descriptor_set(&other);
    second.register(&exposition).unwrap();
    let connection = Connection::new(
        Server::builder().layer(first.layer()),
        Echo::default().routes(),
    );
    EchoClient::new(connection.channel.clone())
        .unary("head")
        .await
        .unwrap();
    wait_for(
        &exposition,
        exactly(&[calls("server", "Unary", "OK", 1, 1)]),
    )
    .await;
    let line = "grpc_server_started_total{grpc_method=\"Do\",grpc_service=\"t.v1.Other\",grpc_type=\"unary\"} 0\n";
    assert!(page(&exposition).contains(line));
}

// M11
#[tokio::test]
async fn two_registries_never_mix() {
    let (used, unused) = (Exposition::default(), Exposition::default());
    let metrics = server().register(&used).unwrap();
    let other = server().register(&unused).unwrap();
    let connection = Connection::new(
        Server::builder().layer(metrics.layer()),
        Echo::default().routes(),
    );
    EchoClient::new(connection.channel.clone())
        .unary("head")
        .await
        .unwrap();
    wait_for(&used, exactly(&[calls("server", "Unary", "OK", 1, 1)])).await;
    assert_eq!(nonzero_samples(&unused), expected(&[]));
    assert_eq!(other.snapshot().started, 0);
}

// M21
#[test]
fn a_name_of_another_collector_is_an_error() {
    let exposition = Exposition::default();
    let labels = ["grpc_type", "grpc_service", "grpc_method"];
    let taken = IntCounterVec::new(Opts::new("grpc_server_started_total", "Mine."), &labels);
    exposition
        .registry()
        .register(Box::new(taken.unwrap()))
        .unwrap();
    let error = server().register(&exposition).unwrap_err();
    assert!(matches!(error, Error::Registry(_)), "{error:?}");
    assert!(error.source().is_some());

    let exposition = Exposition::default();
    let taken = IntCounter::new("grpc_server_in_flight", "Mine.").unwrap();
    exposition.registry().register(Box::new(taken)).unwrap();
    assert!(matches!(
        server().register(&exposition),
        Err(Error::Registry(_))
    ));
}

// M25
#[test]
fn later_collectors_cannot_use_our_names() {
    let exposition = Exposition::default();
    server().register(&exposition).unwrap();
    for name in [
        "grpc_server_connections_opened_total",
        "grpc_server_handling_seconds",
    ] {
        let late = IntCounter::new(name, "Mine.").unwrap();
        exposition.registry().register(Box::new(late)).unwrap_err();
    }
}

#[test]
fn two_configurations_under_the_same_names_are_a_conflict() {
    type Change = fn(Builder<ServerMetrics>) -> Builder<ServerMetrics>;
    let changes: [(Change, &str); 8] = [
        (|b| b.label_style(LabelStyle::Python), "label style"),
        (
            |b| b.code_on_histogram(CodeLabel::Full),
            "code on the histogram",
        ),
        (|b| b.zero_init(ZeroInit::None), "zero initialisation"),
        (
            |b| {
                b.metadata_label("a", "a", ["x"], "y")
                    .zero_init(ZeroInit::All)
            },
            "extra labels",
        ),
        (|b| b.handling_buckets(Buckets::Go), "handling buckets"),
        (Builder::without_handling_histogram, "handling buckets"),
        (|b| b.message_sizes(Buckets::A66Bytes), "message sizes"),
        (|b| b.exemplars(true), "exemplars"),
    ];
    for (change, expected) in changes {
        let exposition = Exposition::default();
        server().register(&exposition).unwrap();
        match change(server()).register(&exposition) {
            Err(Error::Conflict { option }) => assert_eq!(option, expected),
            other => panic!("{expected}: {other:?}"),
        }
    }
    let exposition = Exposition::default();
    server().register(&exposition).unwrap();
    server().namespace("app").register(&exposition).unwrap();
    server()
        .const_label("a", "b")
        .namespace("other")
        .register(&exposition)
        .unwrap();
}

#[tokio::test]
async fn the_same_names_with_other_constant_labels_coexist() {
    let exposition = Exposition::default();
    let east = server()
        .const_label("zone", "east")
        .register(&exposition)
        .unwrap();
    let west = server()
        .const_label("zone", "west")
        .register(&exposition)
        .unwrap();
    drop((east.connection(()), west));
    let page = page(&exposition);
    assert_eq!(
        page.matches("# TYPE grpc_server_started_total counter\n")
            .count(),
        1
    );
    for zone in ["east", "west"] {
        let line = format!(
            "grpc_server_started_total{{grpc_method=\"Unary\",grpc_service=\"t.v1.Echo\",grpc_type=\"unary\",zone=\"{zone}\"}} 0\n"
        );
        assert!(page.contains(&line), "{page}");
    }
}

#[tokio::test]
async fn concurrent_registrations_share_one_set_of_series() {
    let exposition = Exposition::default();
    let threads = (0..8).map(|_| {
        let exposition = exposition.clone();
        std::thread::spawn(move || server().register(&exposition).unwrap())
    });
    let metrics: Vec<_> = threads
        .collect::<Vec<_>>()
        .into_iter()
        .map(|t| t.join().unwrap())
        .collect();
    for metrics in &metrics {
        drop(metrics.connection(()));
    }
    let line = "grpc_server_connections_opened_total 8\n";
    assert!(eventually(|| page(&exposition).contains(line)).await);
}
