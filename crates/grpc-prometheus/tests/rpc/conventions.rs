//! Call durations under OpenTelemetry's stable names.

use grpc_prometheus::{
    Builder, ClientMetrics, CodeLabel, Error, Exposition, RpcConventions, ServerMetrics, ZeroInit,
};
use prometheus::TextEncoder;

use crate::{
    duplex::Fixture,
    echo::{Echo, echo_descriptor_set},
    expect::page,
    names::fresh,
    registrations::server,
};

/// Calls a server and its client, both with these conventions: one OK, one NotFound, one Internal.
async fn called(conventions: RpcConventions, code_label: CodeLabel) -> Exposition {
    let exposition = Exposition::default();
    let server = server()
        .rpc_conventions(conventions)
        .code_on_histogram(code_label)
        .register(&exposition)
        .unwrap();
    let client = ClientMetrics::builder()
        .descriptor_set(&echo_descriptor_set())
        .rpc_conventions(conventions)
        .code_on_histogram(code_label)
        .register(&exposition)
        .unwrap();
    let mut fixture = Fixture::with(exposition, server, &client, Echo::default());
    fixture.echo.unary("head").await.unwrap();
    for script in ["err5", "err13"] {
        fixture.echo.unary(script).await.unwrap_err();
    }
    fixture.exposition
}

fn counts(page: &str, family: &str) -> Vec<String> {
    let name = format!("{family}_count{{");
    let counts = page.lines().filter_map(|line| line.strip_prefix(&name));
    let called = counts.filter(|line| !line.ends_with(" 0"));
    called.map(|line| line.replace(['"', '}'], "")).collect()
}

#[tokio::test]
async fn the_stable_names_have_the_same_calls_by_status_code() {
    let exposition = called(RpcConventions::Both, CodeLabel::None).await;
    let page = page(&exposition);
    let labels = "rpc_method=t.v1.Echo/Unary,rpc_system_name=grpc 1";
    // On a server, NOT_FOUND is what the caller did and no error.
    let code = |code: &str| format!("rpc_response_status_code={code},{labels}");
    assert_eq!(
        counts(&page, "rpc_server_call_duration_seconds"),
        [
            code("OK"),
            code("NOT_FOUND"),
            format!("error_type=INTERNAL,{}", code("INTERNAL"))
        ]
    );
    assert_eq!(
        counts(&page, "rpc_client_call_duration_seconds"),
        [
            code("OK"),
            format!("error_type=NOT_FOUND,{}", code("NOT_FOUND")),
            format!("error_type=INTERNAL,{}", code("INTERNAL")),
        ]
    );
    let unary = "grpc_method=Unary,grpc_service=t.v1.Echo,grpc_type=unary 3";
    for side in ["server", "client"] {
        assert_eq!(
            counts(&page, &format!("grpc_{side}_handling_seconds")),
            [unary]
        );
        let head = format!("# TYPE rpc_{side}_call_duration_seconds histogram\n");
        assert!(page.contains(&head), "{page}");
    }
    // One cell, one search: both families have the same buckets and sums.
    let sum = |name: &str| -> f64 {
        let lines = page.lines().filter(|line| line.starts_with(name));
        lines
            .map(|line| line.rsplit_once(' ').unwrap().1.parse::<f64>().unwrap())
            .sum()
    };
    let difference =
        sum("rpc_server_call_duration_seconds_sum{") - sum("grpc_server_handling_seconds_sum{");
    assert!(difference.abs() < 1e-12, "{difference}");
    assert_eq!(
        sum("rpc_server_call_duration_seconds_bucket{"),
        sum("grpc_server_handling_seconds_bucket{")
    );
    let gathered = exposition.registry().gather();
    let gathered = TextEncoder::new().encode_to_string(&gathered).unwrap();
    let sorted = |page: &str| {
        let mut labels: Vec<_> = page
            .lines()
            .map(|line| {
                let mut letters: Vec<_> = line.chars().collect();
                letters.sort_unstable();
                letters
            })
            .collect();
        labels.sort_unstable();
        labels
    };
    assert_eq!(sorted(&page), sorted(&gathered));
}

#[tokio::test]
async fn the_histogram_of_the_old_name_keeps_its_code_label_beside_the_stable_one() {
    let exposition = called(RpcConventions::Both, CodeLabel::OkError).await;
    let old = counts(&page(&exposition), "grpc_server_handling_seconds");
    let unary = "grpc_method=Unary,grpc_service=t.v1.Echo,grpc_type=unary";
    assert_eq!(
        old,
        [
            format!("grpc_code=OK,{unary} 1"),
            format!("grpc_code=error,{unary} 2")
        ]
    );
    let exposition = called(RpcConventions::Both, CodeLabel::Full).await;
    assert_eq!(
        counts(&page(&exposition), "grpc_server_handling_seconds").len(),
        3
    );
}

#[test]
fn the_stable_name_replaces_the_old_one_and_no_other_family() {
    let names = |exposition: &Exposition| {
        let page = page(exposition);
        let types = page.lines().filter_map(|line| line.strip_prefix("# TYPE "));
        types.map(str::to_owned).collect::<Vec<_>>()
    };
    let configured = |conventions| {
        names(&fresh(|builder: Builder<ServerMetrics>| {
            builder.rpc_conventions(conventions)
        }))
    };
    let old = "grpc_server_handling_seconds histogram".to_owned();
    let stable = "rpc_server_call_duration_seconds histogram".to_owned();
    let grpc = configured(RpcConventions::Grpc);
    assert_eq!((grpc.contains(&old), grpc.contains(&stable)), (true, false));
    let both = [grpc, vec![stable]].concat();
    assert_eq!(configured(RpcConventions::Both), both);
    let only: Vec<_> = both.into_iter().filter(|name| *name != old).collect();
    assert_eq!(configured(RpcConventions::Stable), only);
}

#[test]
fn a_stable_histogram_without_calls_is_there_for_ok_alone() {
    for (zero_init, expected) in [
        (ZeroInit::All, 4),
        (ZeroInit::OkOnly, 4),
        (ZeroInit::None, 0),
    ] {
        let exposition = fresh(|builder: Builder<ServerMetrics>| {
            let builder = builder.rpc_conventions(RpcConventions::Stable);
            builder
                .zero_init(zero_init)
                .namespace("app")
                .const_label("zone", "a")
        });
        let page = page(&exposition);
        let line = "app_rpc_server_call_duration_seconds_count{rpc_response_status_code=\"OK\",\
            rpc_method=\"t.v1.Echo/";
        assert_eq!(page.matches(line).count(), expected, "{page}");
        assert_eq!(
            page.matches("_duration_seconds_count").count(),
            expected,
            "{page}"
        );
    }
}

#[test]
fn labels_of_the_stable_conventions_are_reserved_with_them() {
    for conventions in [RpcConventions::Grpc, RpcConventions::Stable] {
        let builder = server()
            .const_label("error_type", "x")
            .rpc_conventions(conventions);
        let registered = builder.register(&Exposition::default());
        let refused = matches!(registered, Err(Error::LabelName { .. }));
        assert_eq!(refused, conventions == RpcConventions::Stable);
    }
}
