//! Methods that a server resolves itself.

use grpc_prometheus::{Builder, Exposition, MethodHandle, ServerMetrics};
use http::{Extensions, Request};
use tower::{Layer, ServiceExt, service_fn};

use crate::{
    duplex::server,
    echo::echo_descriptor_set,
    expect::{expected, nonzero_samples, page},
    layers::grpc,
};

/// The route that a server stores in a request.
#[derive(Clone)]
struct Route(Option<MethodHandle>);

fn resolve(extensions: &Extensions) -> Option<MethodHandle> {
    extensions.get::<Route>()?.0
}

fn metrics(builder: Builder<ServerMetrics>) -> (Exposition, ServerMetrics) {
    let exposition = Exposition::default();
    let builder = builder
        .descriptor_set(&echo_descriptor_set())
        .exclude_health_and_reflection(true)
        .filter(|_, method| method != "Client")
        .without_handling_histogram();
    let metrics = builder.register(&exposition).unwrap();
    (exposition, metrics)
}

/// Makes a call that the service fails, with the server's route if there is one.
async fn call(metrics: &ServerMetrics, path: &str, route: Option<Route>, tenant: &str) {
    let service = service_fn(|_: Request<_>| async { Err::<http::Response<String>, _>("no") });
    let service = metrics.layer().resolved_by(resolve).layer(service);
    let mut request = grpc(path).header("x-tenant", tenant);
    if let Some(route) = route {
        request = request.extension(route);
    }
    let request = request.body(String::new()).unwrap();
    service.oneshot(request).await.unwrap_err();
}

const KNOWN: [&str; 4] = [
    "/t.v1.Echo/Unary",
    "/t.v1.Echo/Bidi",
    "/behind/a/prefix/t.v1.Echo/Unary",
    "/prefix/t.v1.Echo/Server",
];
const EXCLUDED: [&str; 4] = [
    "/t.v1.Echo/Client",
    "/prefix/t.v1.Echo/Client",
    "/grpc.health.v1.Health/Check",
    "/grpc.reflection.v1.ServerReflection/Any",
];
const UNKNOWN: [&str; 6] = [
    "/t.v1.Echo/Nope",
    "/t.v1.Echo/",
    "/no.Such/Unary",
    "/t.v1.Echo",
    "/",
    "/grpc.health.v1.Health",
];

#[test]
fn known_and_excluded_methods_have_a_handle_and_unknown_paths_have_none() {
    let (_, metrics) = metrics(ServerMetrics::builder());
    for path in KNOWN.into_iter().chain(EXCLUDED) {
        assert!(metrics.method(path).is_some(), "{path}");
    }
    for path in UNKNOWN {
        assert!(metrics.method(path).is_none(), "{path}");
    }
}

#[tokio::test]
async fn the_numbers_are_the_same_with_handles_and_without() {
    let tenants = || {
        let builder = ServerMetrics::builder();
        builder.metadata_label("tenant", "x-tenant", ["a", "b"], "other")
    };
    for builder in [ServerMetrics::builder, tenants] {
        let (with, resolving) = metrics(builder());
        let (without, looking) = metrics(builder());
        for path in KNOWN.into_iter().chain(EXCLUDED).chain(UNKNOWN) {
            for tenant in ["a", "b", "zzz"] {
                let route = Route(resolving.method(path));
                call(&resolving, path, Some(route), tenant).await;
                call(&looking, path, None, tenant).await;
            }
        }
        assert_eq!(resolving.snapshot().started, 3 * 10);
        assert_eq!(page(&with), page(&without));
    }
}

#[tokio::test]
async fn where_there_is_a_handle_the_path_is_not_looked_up() {
    let (exposition, metrics) = metrics(ServerMetrics::builder());
    let unary = metrics.method("/t.v1.Echo/Unary");
    for path in ["/t.v1.Echo/Bidi", "/t.v1.Echo/Client", "/no.Such/X"] {
        call(&metrics, path, Some(Route(unary)), "").await;
    }
    let health = metrics.method("/grpc.health.v1.Health/Check");
    call(&metrics, "/t.v1.Echo/Unary", Some(Route(health)), "").await;
    let lines = ["server started Unary 3", "server handled Unknown Unary 3"];
    assert_eq!(nonzero_samples(&exposition), expected(&lines));
}

#[tokio::test]
async fn without_a_handle_the_path_is_looked_up() {
    let (exposition, metrics) = metrics(ServerMetrics::builder());
    for route in [None, Some(Route(None))] {
        call(&metrics, "/t.v1.Echo/Bidi", route.clone(), "").await;
        call(&metrics, "/t.v1.Echo/Client", route, "").await;
    }
    let lines = ["server started Bidi 2", "server handled Unknown Bidi 2"];
    assert_eq!(nonzero_samples(&exposition), expected(&lines));
}

#[tokio::test]
async fn a_handle_of_other_metrics_is_ignored() {
    let (exposition, metrics) = metrics(ServerMetrics::builder());
    let (others, other) = server();
    let foreign = other.method("/t.v1.Echo/Unary");
    assert!(foreign.is_some());
    for path in ["/t.v1.Echo/Bidi", "/t.v1.Echo/Client"] {
        call(&metrics, path, Some(Route(foreign)), "").await;
    }
    let lines = ["server started Bidi 1", "server handled Unknown Bidi 1"];
    assert_eq!(nonzero_samples(&exposition), expected(&lines));
    assert_eq!(nonzero_samples(&others), expected(&[]));
}
