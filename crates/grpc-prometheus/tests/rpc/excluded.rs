//! Excluded services and methods.

use crate::{
    echo::{descriptor_set, echo_descriptor_set},
    expect::{expected, page},
    unknown::Answer,
};

// M60
#[tokio::test]
async fn health_and_reflection_can_be_excluded() {
    let health = descriptor_set("grpc.health.v1", &[("Health", &[("Check", false, false)])]);
    let with = |exclude| {
        Answer::with("5", |builder| {
            builder
                .descriptor_set(&echo_descriptor_set())
                .descriptor_set(&health)
                .exclude_health_and_reflection(exclude)
        })
    };
    let paths = [
        "/grpc.health.v1.Health/Check",
        "/grpc.health.v1.Health/Watch",
        "/grpc.reflection.v1.ServerReflection/ServerReflectionInfo",
        "/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo",
    ];
    let (without, counted) = (with(true), with(false));
    for path in paths {
        without.call(path).await;
        counted.call(path).await;
    }
    assert_eq!(without.nonzero_samples(), expected(&[]));
    assert!(!page(&without.exposition).contains("grpc.health.v1"));
    assert_eq!(
        counted.nonzero_samples(),
        expected(&[
            "server handled NotFound Check grpc.health.v1.Health unary 1",
            "server handled NotFound unknown grpc.health.v1.Health unknown 1",
            "server handled NotFound unknown unknown unknown 2",
            "server handling Check grpc.health.v1.Health unary 1",
            "server handling unknown grpc.health.v1.Health unknown 1",
            "server handling unknown unknown unknown 2",
            "server started Check grpc.health.v1.Health unary 1",
            "server started unknown grpc.health.v1.Health unknown 1",
            "server started unknown unknown unknown 2",
        ])
    );
}

// M61
#[tokio::test]
async fn a_filtered_method_has_no_series_and_the_others_have() {
    let answer = Answer::with("0", |builder| {
        builder
            .descriptor_set(&echo_descriptor_set())
            .filter(|service, method| service == "t.v1.Echo" && method != "Unary")
    });
    answer.call("/t.v1.Echo/Unary").await;
    answer.call("/t.v1.Echo/Bidi").await;
    assert_eq!(
        answer.nonzero_samples(),
        expected(&[
            "server handled OK Bidi 1",
            "server handling Bidi 1",
            "server started Bidi 1",
        ])
    );
    let page = page(&answer.exposition);
    assert!(!page.contains("\"Unary\""));
    assert_eq!(page.matches("grpc_server_handled_total{").count(), 3 * 17);
}
