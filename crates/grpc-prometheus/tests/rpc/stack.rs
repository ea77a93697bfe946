//! The layer's contract with tower: readiness, clones, buffers, nesting, and its types.

use std::{
    convert::Infallible,
    fmt::Debug,
    future::{Ready, ready},
    task::{Context, Poll},
};

use bytes::Bytes;
use futures_util::FutureExt;
use grpc_prometheus::{
    Buckets, Builder, Client, ClientLayer, ClientMetrics, Connection, Error, Exposition,
    MeteredChannel, MeteredClient, MeteredServer, RequestBody, ResponseBody, ResponseFuture,
    ServerLayer, ServerMetrics, Snapshot, TraceId, UnboxedClientLayer,
};
use http::{Method, Request, Response};
use http_body_util::{BodyExt, Empty};
use tokio::net::TcpStream;
use tonic::{body::Body, transport::Channel};
use tower::{BoxError, Layer, Service, ServiceBuilder, ServiceExt, service_fn};

use crate::{
    duplex::{client, server},
    echo::{Echo, echo_descriptor_set},
    expect::{calls, exactly, expected, nonzero_samples, wait_for},
    layers::grpc,
};

/// May be called once after it was ready. Its clones are not ready.
#[derive(Default)]
struct Strict {
    ready: bool,
    broken: bool,
}

impl Clone for Strict {
    fn clone(&self) -> Self {
        Self {
            ready: false,
            broken: self.broken,
        }
    }
}

impl<B> Service<Request<B>> for Strict {
    type Response = Response<Body>;
    type Error = BoxError;
    type Future = Ready<Result<Self::Response, BoxError>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        if self.broken {
            return Poll::Ready(Err("broken".into()));
        }
        self.ready = true;
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, _: Request<B>) -> Self::Future {
        assert!(self.ready, "called before it was ready");
        self.ready = false;
        ready(Ok(tonic::Status::not_found("").into_http()))
    }
}

fn request() -> Request<Body> {
    grpc("/t.v1.Echo/Unary").body(Body::empty()).unwrap()
}

#[tokio::test]
async fn the_service_that_was_ready_is_the_one_that_is_called() {
    let (exposition, server) = server();
    let service = server.layer().layer(Strict::default());
    service.clone().oneshot(request()).await.unwrap();
    service.oneshot(request()).await.unwrap();
    let (client_exposition, client) = client();
    let service = client.layer().layer(Strict::default());
    service.clone().oneshot(request()).await.unwrap();
    service.oneshot(request()).await.unwrap();
    for (side, exposition) in [("server", &exposition), ("client", &client_exposition)] {
        let lines = ["started", "handled NotFound", "handling"];
        let lines = lines.map(|line| format!("{side} {line} Unary 2"));
        assert_eq!(nonzero_samples(exposition), exactly(&[lines.to_vec()]));
    }
}

#[tokio::test]
async fn a_service_that_does_not_become_ready_has_no_call_to_count() {
    let broken = Strict {
        broken: true,
        ..Strict::default()
    };
    let (exposition, metrics) = server();
    let service = metrics.layer().layer(broken.clone());
    let error = service.oneshot(request()).await.unwrap_err();
    assert_eq!(error.to_string(), "broken");
    assert_eq!(nonzero_samples(&exposition), expected(&[]));
    let (exposition, metrics) = client();
    let service = metrics.layer().layer(broken);
    service.oneshot(request()).await.unwrap_err();
    assert_eq!(nonzero_samples(&exposition), expected(&[]));
}

#[tokio::test]
async fn two_layers_around_one_service_count_the_same() {
    let (outer_exposition, outer) = server();
    let (inner_exposition, inner) = server();
    let service = ServiceBuilder::new()
        .layer(outer.layer())
        .layer(inner.layer())
        .service(Echo::default());
    let message = || Body::new(http_body_util::Full::new(Bytes::from_static(&[0; 5])));
    let request = |script| grpc("/t.v1.Echo/Server").header("x-script", script);
    let read = request("head send2 err5").body(message()).unwrap();
    let answer = service.clone().oneshot(read).await.unwrap();
    answer.into_body().collect().await.unwrap();
    let left = request("head hang").body(message()).unwrap();
    let answer = service.clone().oneshot(left).await.unwrap();
    assert!(answer.into_body().frame().now_or_never().is_none());
    let failed = request("err9").body(message()).unwrap();
    service.oneshot(failed).await.unwrap();
    let lines = expected(&[
        "server handled Canceled Server 1",
        "server handled FailedPrecondition Server 1",
        "server handled NotFound Server 1",
        "server handling Server 3",
        "server msg_received Server 3",
        "server msg_sent Server 2",
        "server started Server 3",
    ]);
    assert_eq!(nonzero_samples(&outer_exposition), lines);
    assert_eq!(nonzero_samples(&inner_exposition), lines);
}

#[tokio::test]
async fn a_buffer_inside_and_outside_changes_nothing() {
    let (exposition, metrics) = server();
    let service = ServiceBuilder::new()
        .buffer::<Request<Body>>(4)
        .layer(metrics.layer())
        .buffer::<Request<RequestBody<Body>>>(4)
        .service(Strict::default());
    service.clone().oneshot(request()).await.unwrap();
    // Calls without a waiter are dropped from the buffer or canceled in it.
    drop(service.oneshot(request()));
    let lines = calls("server", "Unary", "NotFound", 0, 0);
    wait_for(&exposition, exactly(&[lines])).await;
}

// hyper derives `content-length` and `END_STREAM` from the body's size hint.
#[tokio::test]
async fn bodies_keep_their_size_hints() {
    use http_body::Body as _;
    use http_body_util::Full;

    let service = service_fn(|request: Request<RequestBody<Full<Bytes>>>| {
        let (length, end) = (
            request.body().size_hint().exact(),
            request.body().is_end_stream(),
        );
        assert_eq!((length, end), (Some(3), false));
        ready(Ok::<_, Infallible>(Response::new(Full::new(
            Bytes::from_static(b"four"),
        ))))
    });
    let (_, metrics) = server();
    for content_type in ["application/grpc", "text/plain"] {
        let request = Request::post("/t.v1.Echo/Unary").header("content-type", content_type);
        let request = request.body(Full::new(Bytes::from_static(b"abc"))).unwrap();
        let answer = metrics
            .layer()
            .layer(service)
            .oneshot(request)
            .await
            .unwrap();
        let mut body = answer.into_body();
        assert_eq!(
            (body.size_hint().exact(), body.is_end_stream()),
            (Some(4), false)
        );
        body.frame().await.unwrap().unwrap();
        assert_eq!(
            (body.size_hint().exact(), body.is_end_stream()),
            (Some(0), true)
        );
    }
}

// A browser's preflight, and a load balancer's probe.
#[tokio::test]
async fn a_preflight_and_a_probe_are_no_calls() {
    let (exposition, metrics) = server();
    let service = metrics.layer().layer(service_fn(|_| {
        ready(Ok::<_, Infallible>(Response::new(Empty::<Bytes>::new())))
    }));
    for (method, name, value) in [
        (
            Method::OPTIONS,
            "access-control-request-headers",
            "content-type,x-grpc-web",
        ),
        (Method::HEAD, "accept", "*/*"),
        (Method::GET, "accept", "application/grpc"),
    ] {
        let request = Request::builder().method(method).uri("/t.v1.Echo/Unary");
        let request = request.header(name, value).body(Body::empty()).unwrap();
        service.clone().oneshot(request).await.unwrap();
    }
    assert_eq!(nonzero_samples(&exposition), expected(&[]));
}

/// Users store these types, share them between threads and log them.
#[test]
fn public_types_can_be_sent_shared_cloned_and_shown() {
    fn sent<T: Send + Sync + Unpin + Debug + 'static>() {}
    fn cloned<T: Clone + Send + Sync + Unpin + Debug + 'static>() {}
    cloned::<ServerMetrics>();
    cloned::<ClientMetrics>();
    cloned::<ServerLayer>();
    cloned::<ClientLayer>();
    cloned::<UnboxedClientLayer>();
    cloned::<MeteredServer<()>>();
    cloned::<MeteredClient<()>>();
    cloned::<MeteredChannel<Channel>>();
    cloned::<Snapshot>();
    cloned::<Buckets>();
    cloned::<TraceId>();
    sent::<Builder<ServerMetrics>>();
    sent::<Builder<ClientMetrics>>();
    sent::<Connection<TcpStream>>();
    sent::<RequestBody<Empty<Bytes>>>();
    sent::<RequestBody<Empty<Bytes>, Client>>();
    sent::<ResponseBody<Empty<Bytes>>>();
    sent::<ResponseBody<Empty<Bytes>, Client>>();
    sent::<ResponseFuture<Ready<()>>>();
    sent::<ResponseFuture<Ready<()>, Client>>();
    sent::<Error>();
}

// Users derive `Debug` for types that contain a layer, and may log them per call.
#[test]
fn the_debug_text_of_a_layer_is_short() {
    let exposition = Exposition::default();
    let builder = ServerMetrics::builder().descriptor_set(&echo_descriptor_set());
    let metrics = builder.register(&exposition).unwrap();
    let mut service = metrics.layer().layer(Strict::default());
    let ready = ServiceExt::<Request<Body>>::ready(&mut service);
    ready.now_or_never().unwrap().unwrap();
    let future = service.call(request());
    let shown = [
        format!("{metrics:?}"),
        format!("{:?}", metrics.layer()),
        format!("{future:?}"),
        format!("{:?}", future.now_or_never().unwrap().unwrap().into_body()),
    ];
    for shown in shown {
        assert!(shown.len() < 1_000, "{} bytes: {shown:.200}", shown.len());
    }
}
