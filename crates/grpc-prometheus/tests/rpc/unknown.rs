//! Unknown methods, services and paths.

use std::convert::Infallible;

use bytes::Bytes;
use grpc_prometheus::{Builder, Exposition, RequestBody, ServerMetrics};
use http::{Request, Response};
use http_body_util::Empty;
use tonic::body::Body;
use tower::{ServiceBuilder, ServiceExt, service_fn};

use crate::{
    echo::{descriptor_set, echo_descriptor_set},
    expect::{expected, nonzero_samples, page},
};

/// A metered service that responds to every call with one status.
pub(crate) struct Answer {
    pub(crate) exposition: Exposition,
    pub(crate) metrics: ServerMetrics,
    status: &'static str,
}

impl Answer {
    pub(crate) fn new(status: &'static str) -> Self {
        Self::with(status, |builder| {
            builder.descriptor_set(&echo_descriptor_set())
        })
    }

    pub(crate) fn with(
        status: &'static str,
        configure: impl FnOnce(Builder<ServerMetrics>) -> Builder<ServerMetrics>,
    ) -> Self {
        let exposition = Exposition::default();
        let metrics = configure(ServerMetrics::builder()).register(&exposition);
        Self {
            metrics: metrics.unwrap(),
            exposition,
            status,
        }
    }

    pub(crate) async fn call(&self, path: &str) {
        let request = Request::post(path)
            .header("content-type", "application/grpc+proto")
            .body(Body::empty());
        self.request(request.unwrap()).await;
    }

    pub(crate) async fn request(&self, request: Request<Body>) {
        let status = self.status;
        let answer = move |_: Request<RequestBody<Body>>| async move {
            let response = Response::builder().header("grpc-status", status);
            Ok::<_, Infallible>(response.body(Empty::<Bytes>::new()).unwrap())
        };
        let service = ServiceBuilder::new()
            .layer(self.metrics.layer())
            .service(service_fn(answer));
        service.oneshot(request).await.unwrap();
    }

    pub(crate) fn nonzero_samples(&self) -> Vec<String> {
        nonzero_samples(&self.exposition)
    }
}

// M55
#[tokio::test]
async fn an_unknown_method_of_a_known_service_is_unknown_there() {
    let answer = Answer::new("12");
    answer.call("/t.v1.Echo/Nope").await;
    let line = "grpc_server_handled_total{grpc_code=\"Unimplemented\",grpc_method=\"unknown\",\
        grpc_service=\"t.v1.Echo\",grpc_type=\"unknown\"} 1\n";
    assert!(page(&answer.exposition).contains(line));
    assert_eq!(
        answer.nonzero_samples(),
        expected(&[
            "server handled Unimplemented unknown t.v1.Echo unknown 1",
            "server handling unknown t.v1.Echo unknown 1",
            "server started unknown t.v1.Echo unknown 1",
        ])
    );
}

// M56 M59
#[tokio::test]
async fn an_unknown_service_and_an_odd_path_are_unknown() {
    let answer = Answer::new("12");
    for path in [
        "/no.Such/X",
        "/foo",
        "/",
        "//",
        "/a/b/c/d",
        "/t.v1.Ech/Unary",
        "/t.v1.EchoUnary",
    ] {
        answer.call(path).await;
    }
    let line = "grpc_server_handled_total{grpc_code=\"Unimplemented\",grpc_method=\"unknown\",\
        grpc_service=\"unknown\",grpc_type=\"unknown\"} 7\n";
    assert!(page(&answer.exposition).contains(line));
    assert_eq!(
        answer.nonzero_samples(),
        expected(&[
            "server handled Unimplemented unknown unknown unknown 7",
            "server handling unknown unknown unknown 7",
            "server started unknown unknown unknown 7",
        ])
    );
}

// M57
#[tokio::test]
async fn a_hundred_thousand_paths_make_two_label_sets() {
    let answer = Answer::new("12");
    answer.call("/t.v1.Echo/Nope").await;
    answer.call("/no.Such/X").await;
    let before = page(&answer.exposition).lines().count();
    for index in 0..50_000 {
        answer.call(&format!("/s{index}.Random/M{index}")).await;
        answer.call(&format!("/t.v1.Echo/M{index}")).await;
    }
    assert_eq!(page(&answer.exposition).lines().count(), before);
    assert_eq!(
        answer.nonzero_samples(),
        expected(&[
            "server handled Unimplemented unknown t.v1.Echo unknown 50001",
            "server handled Unimplemented unknown unknown unknown 50001",
            "server handling unknown t.v1.Echo unknown 50001",
            "server handling unknown unknown unknown 50001",
            "server started unknown t.v1.Echo unknown 50001",
            "server started unknown unknown unknown 50001",
        ])
    );
}

#[tokio::test]
async fn a_router_may_put_a_prefix_before_a_known_path() {
    let answer = Answer::new("5");
    answer.call("/api/v2/t.v1.Echo/Unary").await;
    assert_eq!(
        answer.nonzero_samples(),
        expected(&[
            "server handled NotFound Unary 1",
            "server handling Unary 1",
            "server started Unary 1",
        ])
    );
}

// M58
#[tokio::test]
async fn requests_that_are_not_grpc_are_not_counted() {
    let answer = Answer::new("0");
    let get = Request::get("/t.v1.Echo/Unary")
        .body(Body::empty())
        .unwrap();
    answer.request(get).await;
    for content_type in [
        "text/html",
        "application/json",
        "application/grp",
        "application/grpcx",
        "application/grpc-webx",
        "",
    ] {
        let request = Request::post("/t.v1.Echo/Unary").header("content-type", content_type);
        answer.request(request.body(Body::empty()).unwrap()).await;
    }
    assert_eq!(answer.nonzero_samples(), expected(&[]));
}

#[tokio::test]
async fn a_grpc_content_type_in_any_case_is_counted() {
    let answer = Answer::new("5");
    for content_type in [
        "Application/gRPC",
        "APPLICATION/GRPC+PROTO",
        "application/grpc ;x=y",
    ] {
        let request = Request::post("/t.v1.Echo/Unary").header("content-type", content_type);
        answer.request(request.body(Body::empty()).unwrap()).await;
    }
    assert_eq!(answer.metrics.snapshot().handled[5], 3);
}

// M14: both names of the second pair have the same FNV-1a hash, so the prometheus crate's `*Vec`
// types would merge them even with separators between the values.
#[tokio::test]
async fn methods_whose_names_hash_alike_are_counted_apart() {
    let services = [
        ("Cart", &[("ItemAdd", false, false)][..]),
        ("CartItem", &[("Add", false, false)]),
        (
            "S",
            &[("77kepQFQ8Kl", false, false), ("!0IC=VloaY", false, false)],
        ),
    ];
    let answer = Answer::with("0", |builder| {
        builder.descriptor_set(&descriptor_set("shop.v1", &services))
    });
    let methods = [
        ("Cart", "ItemAdd", 1),
        ("CartItem", "Add", 2),
        ("S", "77kepQFQ8Kl", 3),
        ("S", "!0IC=VloaY", 4),
    ];
    for (service, method, calls) in methods {
        for _ in 0..calls {
            answer.call(&format!("/shop.v1.{service}/{method}")).await;
        }
    }
    let page = page(&answer.exposition);
    for (service, method, calls) in methods {
        let line = format!(
            "grpc_server_started_total{{grpc_method=\"{method}\",\
             grpc_service=\"shop.v1.{service}\",grpc_type=\"unary\"}} {calls}\n"
        );
        assert!(page.contains(&line), "{line}{page}");
    }
}
