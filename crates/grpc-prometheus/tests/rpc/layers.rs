//! The layer among others: interceptors, retries, limits, panics, grpc-web, exemplars.

use std::{
    convert::Infallible,
    fmt, io,
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
    task::{Context, Poll},
};

use bytes::Bytes;
use futures_util::{FutureExt, future::BoxFuture};
use grpc_prometheus::{ClientMetrics, RequestBody, ServerMetrics, TraceId};
use http::{Request, Response};
use http_body_util::{BodyExt, Full};
use prometheus::Registry;
use tonic::{
    Code, Status,
    body::Body,
    service::{Interceptor, interceptor::InterceptedService},
    transport::Server,
};
use tonic_web::GrpcWebLayer;
use tower::{
    BoxError, Service, ServiceBuilder, ServiceExt,
    load_shed::{LoadShedLayer, error::Overloaded},
    service_fn,
    timeout::error::Elapsed,
};

use crate::{
    echo::{Connection, Echo, EchoClient, echo_descriptor_set},
    expect::{calls, eventually, expected, moved, only, openmetrics, page, settled},
};

fn server() -> (Registry, ServerMetrics) {
    let registry = Registry::new();
    let builder = ServerMetrics::builder().descriptor_set(&echo_descriptor_set());
    let metrics = builder.exemplars(true).register(&registry).unwrap();
    (registry, metrics)
}

fn client() -> (Registry, ClientMetrics) {
    let registry = Registry::new();
    let builder = ClientMetrics::builder().descriptor_set(&echo_descriptor_set());
    let metrics = builder.register(&registry).unwrap();
    (registry, metrics)
}

fn grpc(path: &str) -> http::request::Builder {
    Request::post(path).header("content-type", "application/grpc")
}

fn reject(_: tonic::Request<()>) -> Result<tonic::Request<()>, Status> {
    Err(Status::unauthenticated("no"))
}

// M80
#[tokio::test]
async fn an_interceptor_is_counted_inside_the_layer_and_not_outside() {
    let (registry, metrics) = client();
    let connection = Connection::new(Server::builder(), Echo::default().routes());
    let outside = InterceptedService::new(connection.metered(&metrics.layer()), reject);
    EchoClient::new(outside).unary("head").await.unwrap_err();
    assert_eq!(moved(&registry), expected(&[]));
    let inside = ServiceBuilder::new()
        .layer(metrics.layer())
        .service(InterceptedService::new(connection.channel.clone(), reject));
    let status = EchoClient::new(inside).unary("head").await.unwrap_err();
    assert_eq!(status.code(), Code::Unauthenticated);
    let lines = calls("client", "Unary", "Unauthenticated", 0, 0);
    assert_eq!(moved(&registry), only(&[lines]));
}

// M91
#[tokio::test]
async fn a_shed_call_is_resource_exhausted_if_the_limit_is_inside() {
    let (registry, metrics) = server();
    let never_ready = NeverReady;
    let mut service = ServiceBuilder::new()
        .layer(metrics.layer())
        .layer(LoadShedLayer::new())
        .service(never_ready);
    let request = grpc("/t.v1.Echo/Unary").body(Body::empty()).unwrap();
    let ready = ServiceExt::<Request<Body>>::ready(&mut service)
        .await
        .unwrap();
    let error = ready.call(request).await.unwrap_err();
    assert!(error.is::<Overloaded>(), "{error:?}");
    let lines = calls("server", "Unary", "ResourceExhausted", 0, 0);
    assert_eq!(moved(&registry), only(&[lines]));
}

#[derive(Clone)]
struct NeverReady;

impl<B> Service<Request<B>> for NeverReady {
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = std::future::Ready<Result<Self::Response, Infallible>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Pending
    }

    fn call(&mut self, _: Request<B>) -> Self::Future {
        unreachable!("never ready")
    }
}

#[tokio::test]
async fn a_panic_that_is_caught_outside_is_internal_nevertheless() {
    let (registry, metrics) = server();
    let service = ServiceBuilder::new()
        .layer(metrics.layer())
        .service(service_fn(|_: Request<RequestBody<Body>>| async {
            if true {
                panic!("caught");
            }
            Ok::<_, Infallible>(Response::new(Body::empty()))
        }));
    let request = grpc("/t.v1.Echo/Unary").body(Body::empty()).unwrap();
    let future = std::panic::AssertUnwindSafe(service.oneshot(request));
    assert!(future.catch_unwind().await.is_err());
    let lines = calls("server", "Unary", "Internal", 0, 0);
    assert_eq!(moved(&registry), only(&[lines]));
}

// M21: who catches it inside answers for it.
#[tokio::test]
async fn a_panic_that_is_caught_inside_is_what_the_catcher_answers() {
    let (registry, metrics) = server();
    let service = ServiceBuilder::new()
        .layer(metrics.layer())
        .service(service_fn(|_: Request<RequestBody<Body>>| async {
            let handler = async { panic!("caught") };
            let caught = std::panic::AssertUnwindSafe(handler).catch_unwind().await;
            let _: Result<Infallible, _> = caught;
            Ok::<_, Infallible>(Status::unavailable("try again").into_http::<Body>())
        }));
    let request = grpc("/t.v1.Echo/Unary").body(Body::empty()).unwrap();
    service.oneshot(request).await.unwrap();
    let lines = calls("server", "Unary", "Unavailable", 0, 0);
    assert_eq!(moved(&registry), only(&[lines]));
}

#[tokio::test]
async fn a_panic_before_there_is_a_future_is_internal() {
    let (registry, metrics) = server();
    let service = ServiceBuilder::new().layer(metrics.layer()).service(Panics);
    let request = grpc("/t.v1.Echo/Unary").body(Body::empty()).unwrap();
    let future = std::panic::AssertUnwindSafe(service.oneshot(request));
    assert!(future.catch_unwind().await.is_err());
    let lines = calls("server", "Unary", "Internal", 0, 0);
    assert_eq!(moved(&registry), only(&[lines]));
}

#[derive(Clone)]
struct Panics;

impl<B> Service<Request<B>> for Panics {
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = std::future::Ready<Result<Self::Response, Infallible>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, _: Request<B>) -> Self::Future {
        panic!("before there is a future")
    }
}

#[derive(Debug)]
struct Wrapped(BoxError);

impl fmt::Display for Wrapped {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("wrapped")
    }
}

impl std::error::Error for Wrapped {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        Some(&*self.0)
    }
}

#[tokio::test]
async fn an_error_of_the_service_has_the_code_of_what_caused_it() {
    type Cause = fn() -> BoxError;

    let causes: [(Cause, &str); 6] = [
        (|| Status::not_found("").into(), "NotFound"),
        (
            || io::Error::from(io::ErrorKind::NotFound).into(),
            "Unavailable",
        ),
        (|| Elapsed::new().into(), "DeadlineExceeded"),
        (|| Overloaded::new().into(), "ResourceExhausted"),
        (|| h2::Error::from(h2::Reason::CANCEL).into(), "Canceled"),
        (|| "whatever".into(), "Unknown"),
    ];
    for (cause, code) in causes {
        for depth in 0..3 {
            let (registry, metrics) = server();
            let service = service_fn(move |_: Request<RequestBody<Body>>| async move {
                let error = (0..depth).fold(cause(), |cause, _| Wrapped(cause).into());
                Err::<Response<Body>, BoxError>(error)
            });
            let service = ServiceBuilder::new()
                .layer(metrics.layer())
                .service(service);
            let request = grpc("/t.v1.Echo/Unary").body(Body::empty()).unwrap();
            service.oneshot(request).await.unwrap_err();
            let lines = calls("server", "Unary", code, 0, 0);
            assert_eq!(moved(&registry), only(&[lines]));
        }
    }
}

/// Sends the same bytes until they are answered, three times at most.
#[derive(Clone)]
struct Retry<S> {
    inner: S,
}

impl<S, B> Service<Request<B>> for Retry<S>
where
    S: Service<Request<Body>> + Clone + Send + 'static,
    S::Response: GrpcStatus + Send,
    S::Error: Into<BoxError> + Send,
    S::Future: Send,
    B: http_body::Body<Data = Bytes> + Send + 'static,
    B::Error: Into<BoxError>,
{
    type Response = S::Response;
    type Error = BoxError;
    type Future = BoxFuture<'static, Result<S::Response, BoxError>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        self.inner.poll_ready(cx).map_err(Into::into)
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        let mut inner = self.inner.clone();
        async move {
            let (head, body) = request.into_parts();
            let body = body.collect().await.map_err(Into::into)?.to_bytes();
            for _ in 0..2 {
                let body = Body::new(Full::new(body.clone()));
                let request = Request::from_parts(head.clone(), body);
                let answer = inner.ready().await.map_err(Into::into)?.call(request).await;
                match answer {
                    Ok(answer) if answer.is_unavailable() => {}
                    answer => return answer.map_err(Into::into),
                }
            }
            let request = Request::from_parts(head, Body::new(Full::new(body)));
            let ready = inner.ready().await.map_err(Into::into)?;
            ready.call(request).await.map_err(Into::into)
        }
        .boxed()
    }
}

trait GrpcStatus {
    fn is_unavailable(&self) -> bool;
}

impl<B> GrpcStatus for Response<B> {
    fn is_unavailable(&self) -> bool {
        self.headers().get("grpc-status").is_some_and(|s| s == "14")
    }
}

/// An interceptor that lets every third call through.
#[derive(Clone, Default)]
struct EveryThird(Arc<AtomicU32>);

impl Interceptor for EveryThird {
    fn call(&mut self, request: tonic::Request<()>) -> Result<tonic::Request<()>, Status> {
        match (self.0.fetch_add(1, Ordering::Relaxed) + 1) % 3 {
            0 => Ok(request),
            _ => Err(Status::unavailable("try again")),
        }
    }
}

#[tokio::test]
async fn each_attempt_of_a_retry_outside_is_a_call_and_a_retry_inside_is_one() {
    let connection = Connection::new(Server::builder(), Echo::default().routes());
    let flaky = || InterceptedService::new(connection.channel.clone(), EveryThird::default());

    let (registry, metrics) = client();
    let metered = ServiceBuilder::new()
        .layer(metrics.layer())
        .service(flaky());
    EchoClient::new(Retry { inner: metered })
        .unary("head")
        .await
        .unwrap();
    let lines = [
        "client handled OK Unary 1",
        "client handled Unavailable Unary 2",
        "client handling Unary 3",
        "client msg_received Unary 1",
        "client msg_sent Unary 1",
        "client started Unary 3",
    ];
    settled(&registry, expected(&lines)).await;

    let (registry, metrics) = client();
    let retried = Retry { inner: flaky() };
    let metered = ServiceBuilder::new()
        .layer(metrics.layer())
        .service(retried);
    EchoClient::new(metered).unary("head").await.unwrap();
    settled(&registry, only(&[calls("client", "Unary", "OK", 1, 1)])).await;
}

const WEB_TRAILERS: &[u8] = b"\x80\0\0\0\x0fgrpc-status:5\r\n";

fn web_request(content_type: &str) -> Request<Full<Bytes>> {
    let body = Full::new(Bytes::from_static(b"\0\0\0\0\0"));
    let request = Request::post("/t.v1.Echo/Unary").header("content-type", content_type);
    request.header("x-script", "head").body(body).unwrap()
}

// M95
#[tokio::test]
async fn inside_grpc_web_everything_is_as_over_http2() {
    for (content_type, body) in [
        ("application/grpc-web+proto", &b"\0\0\0\0\0"[..]),
        ("application/grpc-web-text+proto", b"AAAAAAA="),
    ] {
        let (registry, metrics) = server();
        let service = ServiceBuilder::new()
            .layer(GrpcWebLayer::new())
            .layer(metrics.layer())
            .service(Echo::default());
        let request = Request::post("/t.v1.Echo/Unary")
            .header("content-type", content_type)
            .header("x-script", "head")
            .body(Body::new(Full::new(Bytes::from_static(body))));
        let response = service.oneshot(request.unwrap()).await.unwrap();
        response.into_body().collect().await.unwrap();
        assert_eq!(
            moved(&registry),
            only(&[calls("server", "Unary", "OK", 1, 1)])
        );
    }
}

// M96
#[tokio::test]
async fn outside_grpc_web_the_status_is_read_from_the_frame_of_trailers() {
    let (registry, metrics) = server();
    let service = ServiceBuilder::new()
        .layer(metrics.layer())
        .layer(GrpcWebLayer::new())
        .service(Echo::default());
    let response = service
        .clone()
        .oneshot(web_request("application/grpc-web+proto").map(Body::new));
    let body = response
        .await
        .unwrap()
        .into_body()
        .collect()
        .await
        .unwrap()
        .to_bytes();
    assert!(body.windows(12).any(|w| w == b"grpc-status:"), "{body:?}");
    assert_eq!(
        moved(&registry),
        only(&[calls("server", "Unary", "OK", 1, 1)])
    );

    // Base64 is opaque: the call is not counted rather than counted wrongly.
    let text = Request::post("/t.v1.Echo/Unary")
        .header("content-type", "application/grpc-web-text+proto")
        .body(Body::new(Full::new(Bytes::from_static(b"AAAAAAA="))));
    service.oneshot(text.unwrap()).await.unwrap();
    assert_eq!(
        moved(&registry),
        only(&[calls("server", "Unary", "OK", 1, 1)])
    );
}

#[tokio::test]
async fn a_failure_in_a_grpc_web_frame_is_not_ok_however_it_is_cut() {
    for cut in 0..WEB_TRAILERS.len() {
        let (registry, metrics) = server();
        let (head, tail) = WEB_TRAILERS.split_at(cut);
        let service = ServiceBuilder::new()
            .layer(metrics.layer())
            .service(service_fn(
                move |_: Request<RequestBody<Body>>| async move {
                    let frames = [head, tail].map(|part| {
                        Ok::<_, Infallible>(http_body::Frame::data(Bytes::from_static(part)))
                    });
                    let body = http_body_util::StreamBody::new(tokio_stream::iter(frames));
                    Ok::<_, Infallible>(Response::new(body))
                },
            ));
        let request = grpc("/t.v1.Echo/Unary").body(Body::empty()).unwrap();
        let response = service.oneshot(request).await.unwrap();
        response.into_body().collect().await.unwrap();
        assert_eq!(
            moved(&registry),
            only(&[calls("server", "Unary", "NotFound", 0, 0)])
        );
    }
}

const TRACE: [u8; 16] = *b"0123456789abcdef";
const TRACE_HEX: &str = "30313233343536373839616263646566";

// M86
#[tokio::test]
async fn a_sampled_call_is_the_exemplar_of_its_bucket() {
    let inside = "inside";
    let parent = format!("00-{TRACE_HEX}-b7ad6b7169203331-01");
    for source in ["extension", parent.as_str(), inside] {
        let (registry, metrics) = server();
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
        let page = openmetrics(&registry);
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
        let text = crate::expect::page(&registry);
        assert!(!text.contains("trace_id") && !text.contains(" # "));
    }
}

#[tokio::test]
async fn a_client_has_exemplars_too() {
    let registry = Registry::new();
    let builder = ClientMetrics::builder().descriptor_set(&echo_descriptor_set());
    let metrics = builder.exemplars(true).register(&registry).unwrap();
    let service = service_fn(|_: Request<RequestBody<Body>>| async {
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
    let page = openmetrics(&registry);
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
    let (registry, metrics) = server();
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
    assert!(!openmetrics(&registry).contains("trace_id"));
    assert!(!page(&registry).contains("trace_id"));
}

// The other half of M60: what is left out is still answered.
#[tokio::test]
async fn a_health_check_that_is_left_out_still_answers() {
    use tonic_health::{ServingStatus, server::health_reporter};

    let registry = Registry::new();
    let metrics = ServerMetrics::builder()
        .descriptor_set(tonic_health::pb::FILE_DESCRIPTOR_SET)
        .exclude_health_and_reflection(true)
        .register(&registry)
        .unwrap();
    let (reporter, health) = health_reporter();
    reporter
        .set_service_status("", ServingStatus::Serving)
        .await;
    let routes = tonic::service::Routes::new(health);
    let connection = Connection::new(Server::builder().layer(metrics.layer()), routes);
    let mut client = tonic_health::pb::health_client::HealthClient::new(connection.channel.clone());
    let check = tonic_health::pb::HealthCheckRequest::default();
    let answer = client.check(check).await.unwrap().into_inner();
    assert_eq!(answer.status, ServingStatus::Serving as i32);
    assert_eq!(page(&registry), "");
}
