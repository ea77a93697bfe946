//! The same layer more than once on the path of a call.

use std::task::Poll;

use futures_util::{FutureExt, future};
use http::{Request, Response};
use tonic::{
    Status,
    body::Body,
    service::{LayerExt, Routes},
    transport::Server,
};
use tower::{BoxError, Layer, ServiceBuilder, ServiceExt, service_fn};

use crate::{
    caller::EchoClient,
    duplex::{Connection, client, server},
    echo::Echo,
    expect::{calls, exactly, nonzero_samples, wait_for},
    layers::grpc,
};

const UNARY: &str = "/t.v1.Echo/Unary";

fn request() -> Request<Body> {
    grpc(UNARY).body(Body::empty()).unwrap()
}

fn not_found() -> Result<Response<Body>, BoxError> {
    Ok(Status::not_found("").into_http())
}

#[tokio::test]
async fn a_server_whose_services_and_router_have_the_layer_counts_each_call_once() {
    let (exposition, metrics) = server();
    let routes = Routes::new(metrics.layer().named_layer(Echo::default()));
    let builder = Server::builder()
        .layer(metrics.layer())
        .layer(metrics.layer());
    let connection = Connection::new(builder, routes);
    let mut echo = EchoClient::new(connection.channel.clone());
    echo.unary("head").await.unwrap();
    wait_for(
        &exposition,
        exactly(&[calls("server", "Unary", "OK", 1, 1)]),
    )
    .await;
}

#[tokio::test]
async fn a_client_with_the_layer_three_times_counts_each_call_once() {
    let (exposition, metrics) = client();
    let connection = Connection::new(Server::builder(), Echo::default().routes());
    let channel = ServiceBuilder::new()
        .layer(metrics.layer())
        .layer(metrics.layer())
        .layer(metrics.layer())
        .service(connection.channel.clone());
    EchoClient::new(channel).unary("head").await.unwrap();
    wait_for(
        &exposition,
        exactly(&[calls("client", "Unary", "OK", 1, 1)]),
    )
    .await;
}

#[tokio::test]
async fn a_layer_that_is_reached_at_a_later_poll_does_not_count_again() {
    let (exposition, metrics) = server();
    let inner = metrics.layer();
    let inner = inner.layer(service_fn(|_: Request<_>| async { not_found() }));
    let outer = service_fn(move |request: Request<_>| {
        let inner = inner.clone();
        async move {
            let mut polled = false;
            future::poll_fn(|cx| match std::mem::replace(&mut polled, true) {
                true => Poll::Ready(()),
                false => {
                    cx.waker().wake_by_ref();
                    Poll::Pending
                }
            })
            .await;
            inner.oneshot(request).await
        }
    });
    let service = metrics.layer().layer(outer);
    service.oneshot(request()).await.unwrap();
    let lines = exactly(&[calls("server", "Unary", "NotFound", 0, 0)]);
    assert_eq!(nonzero_samples(&exposition), lines);
}

#[tokio::test]
async fn a_further_request_that_a_handler_makes_is_a_call_of_its_own() {
    let (_, metrics) = server();
    let inner = metrics.layer();
    let inner = inner.layer(service_fn(|_: Request<_>| async { not_found() }));
    let outer = service_fn(move |first: Request<_>| {
        let inner = inner.clone();
        async move {
            inner.oneshot(request()).await?;
            drop(first);
            not_found()
        }
    });
    metrics
        .layer()
        .layer(outer)
        .oneshot(request())
        .await
        .unwrap();
    assert_eq!(metrics.snapshot().handled[5], 2);
}

#[test]
fn calls_one_after_the_other_and_after_a_panic_are_counted_each() {
    let (_, metrics) = server();
    let service = service_fn(|_: Request<_>| async {
        if true {
            panic!("as the test wants it");
        }
        not_found()
    });
    let panicking = metrics.layer().layer(service);
    let good = metrics
        .layer()
        .layer(service_fn(|_: Request<_>| async { not_found() }));
    for _ in 0..3 {
        let call = panicking.clone().oneshot(request());
        std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| call.now_or_never())).unwrap_err();
        good.clone()
            .oneshot(request())
            .now_or_never()
            .unwrap()
            .unwrap();
    }
    let snapshot = metrics.snapshot();
    assert_eq!((snapshot.handled[13], snapshot.handled[5]), (3, 3));
}
