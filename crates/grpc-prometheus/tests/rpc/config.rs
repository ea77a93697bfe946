//! Registrations: shared, apart, and refused.

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
    expect::{calls, eventually, expected, moved, only, page, settled},
};

fn server() -> Builder<ServerMetrics> {
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
    settled(&exposition, only(&[lines_of("server"), lines_of("client")])).await;
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
    settled(&exposition, only(&[calls("server", "Unary", "OK", 1, 1)])).await;
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
    settled(&used, only(&[calls("server", "Unary", "OK", 1, 1)])).await;
    assert_eq!(moved(&unused), expected(&[]));
    assert_eq!(other.snapshot().started, 0);
}

// M21
#[test]
fn a_name_that_somebody_else_has_is_an_error() {
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
fn our_names_are_taken_for_those_who_come_later() {
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
async fn the_same_names_with_other_constant_labels_stand_side_by_side() {
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

#[test]
fn a_descriptor_set_that_does_not_parse_is_an_error() {
    let error = ServerMetrics::builder()
        .descriptor_set(&[0xff; 3])
        .register(&Exposition::default())
        .unwrap_err();
    assert!(matches!(error, Error::DescriptorSet(_)), "{error:?}");
    assert_eq!(error.to_string(), "cannot decode the descriptor set");
}

#[test]
fn illegal_buckets_are_an_error() {
    let illegal = [
        vec![],
        vec![1.0, 1.0],
        vec![2.0, 1.0],
        vec![-1.0, 1.0],
        vec![f64::NAN],
        vec![1.0, f64::INFINITY],
    ];
    for bounds in illegal {
        let bounds = Buckets::Custom(bounds);
        let handling = server()
            .handling_buckets(bounds.clone())
            .register(&Exposition::default());
        assert!(matches!(handling, Err(Error::Buckets { .. })), "{bounds:?}");
        let sizes = server()
            .message_sizes(bounds.clone())
            .register(&Exposition::default());
        assert!(matches!(sizes, Err(Error::Buckets { .. })), "{bounds:?}");
        let client = ClientMetrics::builder().message_times(bounds);
        assert!(matches!(
            client.register(&Exposition::default()),
            Err(Error::Buckets { .. })
        ));
    }
}

#[test]
fn illegal_labels_are_an_error() {
    for name in [
        "",
        "9a",
        "a-b",
        "__a",
        "ä",
        "le",
        "grpc_code",
        "grpc_method",
        "grpc_service",
        "grpc_type",
    ] {
        let constant = server()
            .const_label(name, "x")
            .register(&Exposition::default());
        assert!(matches!(constant, Err(Error::LabelName { .. })), "{name}");
        let extra = server().metadata_label(name, "key", ["x"], "y");
        let extra = extra.register(&Exposition::default());
        assert!(matches!(extra, Err(Error::LabelName { .. })), "{name}");
    }
    let twice = server()
        .const_label("a", "x")
        .metadata_label("a", "key", ["x"], "y");
    assert!(matches!(
        twice.register(&Exposition::default()),
        Err(Error::LabelName { .. })
    ));
    let key = server().metadata_label("a", "not a key", ["x"], "y");
    assert!(matches!(
        key.register(&Exposition::default()),
        Err(Error::MetadataKey { .. })
    ));
}

#[test]
fn illegal_namespaces_are_an_error() {
    for namespace in ["", "9", "a-b", "a b", "ä"] {
        let result = server()
            .namespace(namespace)
            .register(&Exposition::default());
        assert!(
            matches!(result, Err(Error::Namespace { .. })),
            "{namespace}"
        );
    }
}

#[test]
fn too_many_label_sets_are_an_error() {
    let values = || (0..31).map(|value| value.to_string());
    let labels = |second: usize| {
        let builder = server().metadata_label("a", "a", values(), "other");
        builder.metadata_label("b", "b", values().take(second), "other")
    };
    labels(31).register(&Exposition::default()).unwrap();
    let more = labels(31).metadata_label("c", "c", ["x"], "y");
    match more.register(&Exposition::default()) {
        Err(Error::TooManyLabelSets {
            combinations,
            limit,
        }) => {
            assert_eq!((combinations, limit), (2_048, 1_024));
        }
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn registrations_at_once_end_in_one_set_of_series() {
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
