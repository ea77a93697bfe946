//! Deadlines of a client: of the call, of the endpoint, and of the peer.

use std::{convert::Infallible, time::Duration};

use bytes::Bytes;
use futures_util::{FutureExt, StreamExt, stream};
use grpc_prometheus::{Client, RequestBody};
use http::{Request, Response};
use http_body::Frame;
use http_body_util::{BodyExt, StreamBody};
use tokio::io::DuplexStream;
use tonic::{
    Code, Status,
    body::Body,
    transport::{Channel, Endpoint},
};
use tower::{Layer, ServiceBuilder, ServiceExt, service_fn};

use crate::{
    caller::EchoClient,
    deadlines::{FAR, OVER, call, unary},
    duplex::{client, connect_with},
    echo::texts,
    endings::Kind,
    expect::{calls, exactly, nonzero_samples, wait_for},
};

// M74: tonic reports `Cancelled`.
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
        wait_for(&exposition, exactly(&[lines])).await;
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
    wait_for(&exposition, exactly(&[lines])).await;
}

// The server's timer fired before the caller's.
#[tokio::test]
async fn a_peer_that_answers_cancelled_means_the_deadline_only_after_it() {
    for (timeout, code) in [(OVER, "DeadlineExceeded"), (FAR, "Canceled")] {
        let (exposition, metrics) = client();
        let service = service_fn(|_: Request<RequestBody<Body, Client>>| async {
            Ok::<_, Infallible>(Status::cancelled("").into_http::<Body>())
        });
        let service = metrics.layer().unboxed().layer(service);
        service.oneshot(unary(timeout)).await.unwrap();
        let lines = calls("client", "Unary", code, 0, 0);
        assert_eq!(nonzero_samples(&exposition), exactly(&[lines]));
    }
}

// M77
#[tokio::test]
async fn a_stream_that_its_reader_leaves_is_deadline_exceeded_only_after_its_deadline() {
    for (timeout, code) in [(OVER, "DeadlineExceeded"), (FAR, "Canceled")] {
        let (exposition, metrics) = client();
        let service = service_fn(|_: Request<RequestBody<Body, Client>>| async {
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
        assert_eq!(nonzero_samples(&exposition), exactly(&[lines]));
    }
}

/// A channel to a server that accepts every call and never responds.
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
