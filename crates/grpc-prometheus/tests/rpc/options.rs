//! Invalid options are errors of the registration.

use grpc_prometheus::{Buckets, ClientMetrics, Error, Exposition, ServerMetrics};

use crate::registrations::server;

#[test]
fn a_malformed_descriptor_set_is_an_error() {
    let error = ServerMetrics::builder()
        .descriptor_set(&[0xff; 3])
        .register(&Exposition::default())
        .unwrap_err();
    assert!(matches!(error, Error::DescriptorSet(_)), "{error:?}");
    let expected =
        "cannot decode the descriptor set: failed to decode Protobuf message: invalid varint";
    assert_eq!(error.to_string(), expected);
}

#[test]
fn invalid_buckets_are_an_error() {
    let invalid = [
        vec![],
        vec![1.0, 1.0],
        vec![2.0, 1.0],
        vec![-1.0, 1.0],
        vec![f64::NAN],
        vec![1.0, f64::INFINITY],
    ];
    for bounds in invalid {
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
fn invalid_labels_are_an_error() {
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
fn invalid_namespaces_are_an_error() {
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
