//! Deadlines: whose timer fires, where it stands, and what each side counts.
//!
//! The layer measures with the clock of the system, which no test can pause. A deadline of 1 ns is
//! over when it is first looked at, and one of an hour is not over while a test runs.

use std::{
    convert::Infallible,
    task::{Context, Poll},
    time::Duration,
};

use bytes::Bytes;
use futures_util::{FutureExt, StreamExt, future::BoxFuture, stream};
use grpc_prometheus::{Exposition, RequestBody, ServerMetrics};
use h2::Reason;
use http::{Request, Response};
use http_body::Frame;
use http_body_util::{BodyExt, StreamBody};
use tokio::io::DuplexStream;
use tonic::{
    Code, Status,
    body::Body,
    transport::{Channel, Endpoint},
};
use tower::{
    BoxError, Layer, Service, ServiceBuilder, ServiceExt, service_fn, timeout::TimeoutLayer,
};

use crate::{
    caller::EchoClient,
    duplex::{client, connect_with, server},
    echo::{echo_descriptor_set, texts},
    endings::Kind,
    expect::{calls, moved, only, settled},
    wire::{Served, message, read},
};

const OVER: &str = "1n";
const FAR: &str = "1H";

// What tonic's `Server::timeout` ends where the caller names no deadline, or a later one.
#[tokio::test]
async fn the_servers_own_timeout_is_a_deadline_too() {
    let (short, long) = (Duration::from_nanos(1), Duration::from_secs(3_600));
    for (timeout, header, code) in [
        (short, None, "DeadlineExceeded"),
        (short, Some(FAR), "DeadlineExceeded"),
        (long, Some(OVER), "DeadlineExceeded"),
        (long, None, "Canceled"),
    ] {
        let exposition = Exposition::default();
        let builder = ServerMetrics::builder().descriptor_set(&echo_descriptor_set());
        let metrics = builder.timeout(timeout).register(&exposition).unwrap();
        let never = |_| std::future::pending::<Result<Response<Body>, BoxError>>();
        let mut service = metrics.layer().layer(service_fn(never));
        let mut request =
            Request::post("/t.v1.Echo/Unary").header("content-type", "application/grpc");
        if let Some(header) = header {
            request = request.header("grpc-timeout", header);
        }
        drop(service.call(request.body(Body::empty()).unwrap()));
        let lines = calls("server", "Unary", code, 0, 0);
        assert_eq!(moved(&exposition), only(&[lines]), "{timeout:?} {header:?}");
    }
}

// M28: tonic's own timer is outside of the layer and drops the future.
#[tokio::test]
async fn a_deadline_that_tonic_ends_outside_is_deadline_exceeded() {
    for (method, script) in [
        ("Unary", "hang"),
        ("Server", "hang"),
        ("Client", "read1 hang"),
        ("Bidi", "read1 hang"),
    ] {
        let mut served = Served::new().await;
        let headers = [("grpc-timeout", "50m"), ("x-script", script)];
        let (response, mut body) = served.call_with(method, &headers);
        body.send_data(message(2).into(), true).unwrap();
        assert_eq!(response.await.unwrap().headers()["grpc-status"], "1");
        served
            .settled(only(&[calls("server", method, "DeadlineExceeded", 1, 0)]))
            .await;
    }
}

// M29: a timer inside, of the same time as tonic's, is polled first.
#[tokio::test(start_paused = true)]
async fn a_deadline_inside_the_layer_is_deadline_exceeded_on_the_wire_and_in_the_scrape() {
    let mut served = Served::with(tower::layer::layer_fn(|inner| Deadline { inner })).await;
    let headers = [("grpc-timeout", "50m"), ("x-script", "hang")];
    let (response, mut body) = served.call_with("Unary", &headers);
    body.send_data(message(0).into(), true).unwrap();
    assert_eq!(response.await.unwrap().headers()["grpc-status"], "4");
    served
        .settled(only(&[calls("server", "Unary", "DeadlineExceeded", 1, 0)]))
        .await;
}

/// Answers after 50 ms in any case.
#[derive(Clone)]
struct Deadline<S> {
    inner: S,
}

impl<S, B> Service<Request<B>> for Deadline<S>
where
    S: Service<Request<B>, Response = Response<Body>>,
    S::Future: Send + 'static,
{
    type Response = Response<Body>;
    type Error = S::Error;
    type Future = BoxFuture<'static, Result<Response<Body>, S::Error>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        let answer = self.inner.call(request);
        async move {
            match tokio::time::timeout(Duration::from_millis(50), answer).await {
                Ok(answer) => answer,
                Err(_) => Ok(Status::deadline_exceeded("too late").into_http()),
            }
        }
        .boxed()
    }
}

// M30
#[tokio::test(start_paused = true)]
async fn a_tower_timeout_inside_is_deadline_exceeded() {
    let (exposition, metrics) = server();
    let service = ServiceBuilder::new()
        .layer(metrics.layer())
        .layer(TimeoutLayer::new(Duration::from_secs(1)))
        .service(service_fn(|_: Request<RequestBody<Body>>| {
            std::future::pending::<Result<Response<Body>, BoxError>>()
        }));
    service.oneshot(unary(FAR)).await.unwrap_err();
    let lines = calls("server", "Unary", "DeadlineExceeded", 0, 0);
    assert_eq!(moved(&exposition), only(&[lines]));
}

// M31
#[tokio::test]
async fn a_malformed_deadline_is_none() {
    for malformed in ["5x", "", "123456789n", "-1n", "1 n"] {
        let mut served = Served::new().await;
        let headers = [("grpc-timeout", malformed), ("x-script", "hang")];
        let (_response, mut body) = served.call_with("Unary", &headers);
        body.send_data(message(0).into(), false).unwrap();
        served.received(1).await;
        body.send_reset(Reason::CANCEL);
        served
            .settled(only(&[calls("server", "Unary", "Canceled", 1, 0)]))
            .await;
        let headers = [("grpc-timeout", malformed), ("x-script", "head")];
        let (response, mut body) = served.call_with("Unary", &headers);
        body.send_data(message(0).into(), true).unwrap();
        let trailers = read(response.await.unwrap().into_body()).await;
        assert_eq!(trailers["grpc-status"], "0", "{malformed:?}");
    }
}

// M42 M52: with the head out no timer of tonic's is left; the caller resets the stream.
#[tokio::test]
async fn a_stream_reset_by_its_caller_is_deadline_exceeded_only_after_its_deadline() {
    for script in [
        "head send1 hang",
        "head send1 readall",
        "head send1 readall err5",
    ] {
        for (timeout, code) in [(OVER, "DeadlineExceeded"), (FAR, "Canceled")] {
            let mut served = Served::new().await;
            let headers = [("grpc-timeout", timeout), ("x-script", script)];
            let (response, mut body) = served.call_with("Bidi", &headers);
            let mut answer = response.await.unwrap().into_body();
            answer.data().await.unwrap().unwrap();
            body.send_reset(Reason::CANCEL);
            served
                .settled(only(&[calls("server", "Bidi", code, 0, 1)]))
                .await;
        }
    }
}

#[tokio::test]
async fn a_dropped_future_is_deadline_exceeded_only_after_its_deadline() {
    let (over, far) = ("DeadlineExceeded", "Canceled");
    for (timeout, code) in [("0S", over), (OVER, over), (FAR, far), ("99999999H", far)] {
        let (exposition, metrics) = server();
        let hang = service_fn(|_: Request<RequestBody<Body>>| {
            std::future::pending::<Result<Response<Body>, Infallible>>()
        });
        drop(metrics.layer().layer(hang).call(unary(timeout)));
        let lines = calls("server", "Unary", code, 0, 0);
        assert_eq!(moved(&exposition), only(&[lines]));

        let (exposition, metrics) = client();
        drop(metrics.layer().unboxed().layer(hang).call(unary(timeout)));
        let lines = calls("client", "Unary", code, 0, 0);
        assert_eq!(moved(&exposition), only(&[lines]));
    }
}

// M74: tonic's status says `Cancelled`.
#[tokio::test(start_paused = true)]
async fn an_expired_deadline_of_the_caller_is_deadline_exceeded_for_every_kind() {
    for (kind, sent) in [
        (Kind::Unary, 1),
        (Kind::Server, 1),
        (Kind::Client, 2),
        (Kind::Bidi, 2),
    ] {
        let (exposition, metrics) = client();
        let channel = silent(|endpoint| endpoint);
        let channel = ServiceBuilder::new()
            .layer(metrics.layer())
            .service(channel);
        let mut echo = EchoClient::new(channel).timeout(Duration::from_millis(50));
        let requests = || stream::iter(texts(2)).chain(stream::pending());
        let status = match kind {
            Kind::Unary => echo.unary("").await.unwrap_err(),
            Kind::Server => echo.server("").await.unwrap_err(),
            Kind::Client => echo.client("", requests()).await.unwrap_err(),
            Kind::Bidi => echo.bidi("", requests()).await.unwrap_err(),
        };
        assert_eq!(status.code(), Code::Cancelled);
        let lines = calls("client", &format!("{kind:?}"), "DeadlineExceeded", 0, sent);
        settled(&exposition, only(&[lines])).await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_timeout_of_the_endpoint_is_deadline_exceeded() {
    let (exposition, metrics) = client();
    let channel = silent(|endpoint| endpoint.timeout(Duration::from_millis(50)));
    let channel = ServiceBuilder::new()
        .layer(metrics.layer())
        .service(channel);
    EchoClient::new(channel).unary("").await.unwrap_err();
    let lines = calls("client", "Unary", "DeadlineExceeded", 0, 1);
    settled(&exposition, only(&[lines])).await;
}

// The server's timer was faster than the caller's.
#[tokio::test]
async fn a_peer_that_answers_cancelled_means_the_deadline_only_after_it() {
    for (timeout, code) in [(OVER, "DeadlineExceeded"), (FAR, "Canceled")] {
        let (exposition, metrics) = client();
        let service = service_fn(|_: Request<RequestBody<Body>>| async {
            Ok::<_, Infallible>(Status::cancelled("").into_http::<Body>())
        });
        let service = metrics.layer().unboxed().layer(service);
        service.oneshot(unary(timeout)).await.unwrap();
        let lines = calls("client", "Unary", code, 0, 0);
        assert_eq!(moved(&exposition), only(&[lines]));
    }
}

// M77
#[tokio::test]
async fn a_stream_that_its_reader_leaves_is_deadline_exceeded_only_after_its_deadline() {
    for (timeout, code) in [(OVER, "DeadlineExceeded"), (FAR, "Canceled")] {
        let (exposition, metrics) = client();
        let service = service_fn(|_: Request<RequestBody<Body>>| async {
            let message = Frame::data(Bytes::from_static(&[0, 0, 0, 0, 0]));
            let frames = stream::iter([Ok::<_, Infallible>(message)]).chain(stream::pending());
            Ok::<_, Infallible>(Response::new(StreamBody::new(frames)))
        });
        let service = metrics.layer().unboxed().layer(service);
        let response = service.oneshot(call("Server", timeout)).await.unwrap();
        let mut body = response.into_body();
        body.frame().await.unwrap().unwrap();
        assert!(body.frame().now_or_never().is_none());
        drop(body);
        let lines = calls("client", "Server", code, 1, 0);
        assert_eq!(moved(&exposition), only(&[lines]));
    }
}

fn unary(timeout: &str) -> Request<Body> {
    call("Unary", timeout)
}

fn call(method: &str, timeout: &str) -> Request<Body> {
    Request::post(format!("/t.v1.Echo/{method}"))
        .header("content-type", "application/grpc")
        .header("grpc-timeout", timeout)
        .body(Body::empty())
        .unwrap()
}

/// A channel to a server that takes every call and answers none.
fn silent(configure: impl FnOnce(Endpoint) -> Endpoint) -> Channel {
    async fn take(io: DuplexStream) {
        let mut connection = h2::server::handshake(io).await.unwrap();
        let mut calls = Vec::new();
        while let Some(Ok(call)) = connection.accept().await {
            calls.push(call);
        }
    }
    let (near, far) = tokio::io::duplex(1 << 16);
    tokio::spawn(take(far));
    connect_with(near, configure)
}
