//! Exemplars: the trace of a sampled call at its bucket.

use std::convert::Infallible;

use grpc_prometheus::{Client, ClientMetrics, Exposition, RequestBody, ServerMetrics, TraceId};
use http::{Request, Response};
use tonic::body::Body;
use tower::{ServiceBuilder, ServiceExt, service_fn};

use crate::{
    echo::{Echo, echo_descriptor_set},
    expect::{eventually, openmetrics, page},
    layers::grpc,
};

const TRACE: [u8; 16] = *b"0123456789abcdef";
const TRACE_HEX: &str = "30313233343536373839616263646566";

// M86
#[tokio::test]
async fn a_sampled_call_is_the_exemplar_of_its_bucket() {
    let inside = "inside";
    let parent = format!("00-{TRACE_HEX}-b7ad6b7169203331-01");
    for source in ["extension", parent.as_str(), inside] {
        let (exposition, metrics) = server();
        let service = ServiceBuilder::new()
            .layer(metrics.layer())
            .service(service_fn(
                move |_: Request<RequestBody<Body>>| async move {
                    let mut response = Response::builder().header("grpc-status", "0");
                    if source == inside {
                        response = response.extension(TraceId(TRACE));
                    }
                    Ok::<_, Infallible>(response.body(Body::empty()).unwrap())
                },
            ));
        let request = match source {
            "extension" => grpc("/t.v1.Echo/Unary").extension(TraceId(TRACE)),
            "inside" => grpc("/t.v1.Echo/Unary"),
            parent => grpc("/t.v1.Echo/Unary").header("traceparent", parent),
        };
        service
            .oneshot(request.body(Body::empty()).unwrap())
            .await
            .unwrap();
        let page = openmetrics(&exposition);
        let exemplars: Vec<_> = page.lines().filter(|line| line.contains(" # ")).collect();
        let [exemplar] = exemplars[..] else {
            panic!("{source}: {exemplars:?}");
        };
        assert!(exemplar.starts_with("grpc_server_handling_seconds_bucket{grpc_method=\"Unary\""));
        let (line, exemplar) = exemplar.split_once(" # ").unwrap();
        assert!(line.ends_with("\"} 1"), "{line}");
        let (labels, numbers) = exemplar.split_once("} ").unwrap();
        assert_eq!(labels, format!("{{trace_id=\"{TRACE_HEX}\""));
        let numbers: Vec<f64> = numbers.split(' ').map(|n| n.parse().unwrap()).collect();
        assert!(
            numbers[0] < 10.0 && numbers[1] > 1_700_000_000.0,
            "{numbers:?}"
        );
        let text = crate::expect::page(&exposition);
        assert!(!text.contains("trace_id") && !text.contains(" # "));
    }
}

#[tokio::test]
async fn a_client_has_exemplars_too() {
    let exposition = Exposition::default();
    let builder = ClientMetrics::builder().descriptor_set(&echo_descriptor_set());
    let metrics = builder.exemplars(true).register(&exposition).unwrap();
    let service = service_fn(|_: Request<RequestBody<Body, Client>>| async {
        let response = Response::builder().header("grpc-status", "0");
        Ok::<_, Infallible>(response.body(Body::empty()).unwrap())
    });
    let service = ServiceBuilder::new()
        .layer(metrics.layer().unboxed())
        .service(service);
    let request = grpc("/t.v1.Echo/Unary").extension(TraceId(TRACE));
    service
        .oneshot(request.body(Body::empty()).unwrap())
        .await
        .unwrap();
    let page = openmetrics(&exposition);
    let exemplars: Vec<_> = page.lines().filter(|line| line.contains(" # ")).collect();
    let [exemplar] = exemplars[..] else {
        panic!("{exemplars:?}");
    };
    assert!(exemplar.starts_with("grpc_client_handling_seconds_bucket{grpc_method=\"Unary\""));
    assert!(exemplar.contains(&format!("trace_id=\"{TRACE_HEX}\"")));
}

// M87 (its second half is in `allocations.rs`)
#[tokio::test]
async fn an_unsampled_call_is_no_exemplar() {
    let (exposition, metrics) = server();
    let service = ServiceBuilder::new()
        .layer(metrics.layer())
        .service(Echo::default());
    let unsampled = format!("00-{TRACE_HEX}-b7ad6b7169203331-00");
    for request in [
        grpc("/t.v1.Echo/Unary"),
        grpc("/t.v1.Echo/Unary").header("traceparent", unsampled),
    ] {
        let request = request.body(Body::empty()).unwrap();
        service.clone().oneshot(request).await.unwrap();
    }
    assert!(eventually(|| metrics.snapshot().started == 2).await);
    assert!(!openmetrics(&exposition).contains("trace_id"));
    assert!(!page(&exposition).contains("trace_id"));
}

fn server() -> (Exposition, ServerMetrics) {
    let exposition = Exposition::default();
    let builder = ServerMetrics::builder().descriptor_set(&echo_descriptor_set());
    let metrics = builder.exemplars(true).register(&exposition).unwrap();
    (exposition, metrics)
}
