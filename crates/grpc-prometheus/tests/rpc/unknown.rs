//! Methods that are in no table, and methods that are to be left out.

use std::convert::Infallible;

use bytes::Bytes;
use grpc_prometheus::{Builder, Exposition, RequestBody, ServerMetrics};
use http::{Request, Response};
use http_body_util::Empty;
use tonic::body::Body;
use tower::{Service, ServiceBuilder, ServiceExt, service_fn};

use crate::{
    echo::{descriptor_set, echo_descriptor_set},
    expect::{expected, moved, page},
};

/// A metered service that answers every call with one status.
pub(crate) struct Answer {
    pub(crate) exposition: Exposition,
    metrics: ServerMetrics,
    status: &'static str,
}

impl Answer {
    fn new(status: &'static str) -> Self {
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

    async fn call(&self, path: &str) {
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

    pub(crate) fn moved(&self) -> Vec<String> {
        moved(&self.exposition)
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
        answer.moved(),
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
        answer.moved(),
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
        answer.moved(),
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
    let answer = Answer::new("0");
    answer.call("/api/v2/t.v1.Echo/Unary").await;
    assert_eq!(
        answer.moved(),
        expected(&[
            "server handled OK Unary 1",
            "server handling Unary 1",
            "server started Unary 1",
        ])
    );
}

// M58
#[tokio::test]
async fn what_is_not_grpc_is_not_counted() {
    let answer = Answer::new("0");
    let get = Request::get("/t.v1.Echo/Unary")
        .body(Body::empty())
        .unwrap();
    answer.request(get).await;
    for content_type in ["text/html", "application/json", "application/grp", ""] {
        let request = Request::post("/t.v1.Echo/Unary").header("content-type", content_type);
        answer.request(request.body(Body::empty()).unwrap()).await;
    }
    assert_eq!(answer.moved(), expected(&[]));
}

// M60
#[tokio::test]
async fn health_and_reflection_are_left_out_if_asked() {
    let health = descriptor_set("grpc.health.v1", &[("Health", &[("Check", false, false)])]);
    let with = |exclude| {
        Answer::with("0", |builder| {
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
    assert_eq!(without.moved(), expected(&[]));
    assert!(!page(&without.exposition).contains("grpc.health.v1"));
    assert_eq!(
        counted.moved(),
        expected(&[
            "server handled OK Check grpc.health.v1.Health unary 1",
            "server handled OK unknown grpc.health.v1.Health unknown 1",
            "server handled OK unknown unknown unknown 2",
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
        answer.moved(),
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

// M32 M33
#[tokio::test]
async fn a_ready_answer_and_an_unpolled_future_are_recorded_once() {
    let answer = Answer::new("5");
    answer.call("/t.v1.Echo/Unary").await;
    let mut service = ServiceBuilder::new()
        .layer(answer.metrics.layer())
        .service(service_fn(|_: Request<RequestBody<Body>>| async {
            Ok::<_, Infallible>(Response::new(Empty::<Bytes>::new()))
        }));
    let request = Request::post("/t.v1.Echo/Unary")
        .header("content-type", "application/grpc")
        .body(Body::empty());
    let future = service.ready().await.unwrap().call(request.unwrap());
    assert_eq!(answer.metrics.snapshot().started, 2, "started by `call`");
    drop(future);
    assert_eq!(
        answer.moved(),
        expected(&[
            "server handled Canceled Unary 1",
            "server handled NotFound Unary 1",
            "server handling Unary 2",
            "server started Unary 2",
        ])
    );
}

#[tokio::test]
async fn a_body_at_its_end_is_recorded_at_the_head_for_nobody_polls_it() {
    let answer = Answer::new("0");
    let service = ServiceBuilder::new()
        .layer(answer.metrics.layer())
        .service(service_fn(|_: Request<RequestBody<Body>>| async {
            Ok::<_, Infallible>(Response::new(Empty::<Bytes>::new()))
        }));
    let request = Request::post("/t.v1.Echo/Unary").header("content-type", "application/grpc");
    let response = service.oneshot(request.body(Body::empty()).unwrap()).await;
    drop(response.unwrap());
    assert_eq!(
        answer.moved(),
        expected(&[
            "server handled Unknown Unary 1",
            "server handling Unary 1",
            "server started Unary 1",
        ])
    );
}

/// Is at its end from its second look on.
#[derive(Default)]
struct Closing(std::sync::atomic::AtomicBool);

impl http_body::Body for Closing {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        self: std::pin::Pin<&mut Self>,
        _: &mut std::task::Context<'_>,
    ) -> std::task::Poll<Option<Result<http_body::Frame<Bytes>, Infallible>>> {
        std::task::Poll::Ready(None)
    }

    fn is_end_stream(&self) -> bool {
        self.0.swap(true, std::sync::atomic::Ordering::Relaxed)
    }
}

#[tokio::test]
async fn a_body_does_not_claim_its_end_before_the_call_is_recorded() {
    use http_body::Body as _;
    use http_body_util::BodyExt;

    let answer = Answer::new("0");
    let service = ServiceBuilder::new()
        .layer(answer.metrics.layer())
        .service(service_fn(|_: Request<RequestBody<Body>>| async {
            Ok::<_, Infallible>(Response::new(Closing::default()))
        }));
    let request = Request::post("/t.v1.Echo/Unary").header("content-type", "application/grpc");
    let response = service.oneshot(request.body(Body::empty()).unwrap()).await;
    let mut body = response.unwrap().into_body();
    assert!(!body.is_end_stream());
    assert!(body.frame().await.is_none());
    assert!(body.is_end_stream());
    assert_eq!(answer.metrics.snapshot().handled[2], 1);
}

// M14: the second pair has one FNV-1a hash, so the prometheus crate's `*Vec` types would merge it
// even if they separated the values.
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
