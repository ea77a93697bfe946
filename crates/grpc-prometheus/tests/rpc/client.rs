//! Cases that only a client meets.

use std::{convert::Infallible, future, time::Duration};

use bytes::Bytes;
use futures_util::{FutureExt, StreamExt, stream};
use grpc_prometheus::{Buckets, Client, ClientMetrics, Exposition, MeteredChannel, RequestBody};
use http_body::Frame;
use http_body_util::{BodyExt, StreamBody};
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::{
    Code,
    body::Body,
    transport::{Channel, Server},
};
use tower::{Layer, ServiceBuilder, ServiceExt, service_fn};

use crate::{
    caller::{EchoClient, drain},
    duplex::{Connection, refused},
    echo::{Echo, echo_descriptor_set, passes, texts},
    expect::{calls, exactly, expected, nonzero_samples, page, wait_for},
};

/// A metered client of an unmetered server.
struct Bare {
    exposition: Exposition,
    metrics: ClientMetrics,
    connection: Connection,
    echo: EchoClient<MeteredChannel<Channel>>,
}

impl Bare {
    fn new() -> Self {
        let exposition = Exposition::default();
        let metrics = ClientMetrics::builder()
            .descriptor_set(&echo_descriptor_set())
            .register(&exposition)
            .unwrap();
        Self::with(exposition, metrics)
    }

    fn with(exposition: Exposition, metrics: ClientMetrics) -> Self {
        let connection = Connection::new(Server::builder(), Echo::default().routes());
        let echo = EchoClient::new(connection.metered(&metrics.layer()));
        Self {
            exposition,
            metrics,
            connection,
            echo,
        }
    }

    async fn wait_for(&self, expected: Vec<String>) {
        wait_for(&self.exposition, expected).await;
    }
}

fn refusing() -> (Exposition, EchoClient<MeteredChannel<Channel>>) {
    let exposition = Exposition::default();
    let metrics = ClientMetrics::builder()
        .descriptor_set(&echo_descriptor_set())
        .register(&exposition)
        .unwrap();
    let channel = ServiceBuilder::new()
        .layer(metrics.layer())
        .service(refused());
    (exposition, EchoClient::new(channel))
}

// M67
#[tokio::test]
async fn a_refused_connection_is_unavailable_and_sends_nothing() {
    let (exposition, mut echo) = refusing();
    let status = echo.unary("head").await.unwrap_err();
    assert_eq!(status.code(), Code::Unavailable);
    let lines = calls("client", "Unary", "Unavailable", 0, 0);
    wait_for(&exposition, exactly(&[lines])).await;
}

// M72
#[tokio::test]
async fn a_refused_connection_is_unavailable_for_every_kind() {
    let (exposition, mut echo) = refusing();
    echo.server("head").await.unwrap_err();
    echo.client("readall", stream::iter(texts(2)))
        .await
        .unwrap_err();
    echo.bidi("readall", stream::iter(texts(2)))
        .await
        .unwrap_err();
    let lines =
        ["Server", "Client", "Bidi"].map(|method| calls("client", method, "Unavailable", 0, 0));
    wait_for(&exposition, exactly(&lines)).await;
}

// M68
#[tokio::test]
async fn the_time_of_a_stream_covers_the_stream() {
    let mut bare = Bare::new();
    let stream = bare
        .echo
        .server("head send1 pass5 send1 pass5 send1")
        .await
        .unwrap();
    assert_eq!(drain(stream).await.0, 3);
    bare.wait_for(exactly(&[calls("client", "Server", "OK", 3, 1)]))
        .await;
    assert!(bare.metrics.snapshot().handling >= Duration::from_millis(10));
}

// M69
#[tokio::test]
async fn a_stream_that_is_dropped_unread_is_canceled() {
    let mut bare = Bare::new();
    let mut stream = bare.echo.server("head send1 hang").await.unwrap();
    stream.message().await.unwrap().unwrap();
    assert_eq!(
        nonzero_samples(&bare.exposition),
        expected(&[
            "client in_flight Server 1",
            "client msg_received Server 1",
            "client msg_sent Server 1",
            "client started Server 1",
        ])
    );
    drop(stream);
    bare.wait_for(exactly(&[calls("client", "Server", "Canceled", 1, 1)]))
        .await;
}

// M79
#[tokio::test]
async fn a_server_that_answers_early_ends_the_call_and_keeps_the_count_of_what_went_out() {
    let mut bare = Bare::new();
    let (requests, incoming) = mpsc::channel(1);
    requests.send(texts(1).remove(0)).await.unwrap();
    let status = bare
        .echo
        .client("read1 err11", ReceiverStream::new(incoming))
        .await
        .unwrap_err();
    assert_eq!(status.code(), Code::OutOfRange);
    bare.wait_for(exactly(&[calls("client", "Client", "OutOfRange", 0, 1)]))
        .await;
    drop(requests);
}

// M81
#[tokio::test]
async fn reading_on_after_the_end_counts_nothing() {
    let mut bare = Bare::new();
    let mut stream = bare.echo.server("head send1 err5").await.unwrap();
    stream.message().await.unwrap().unwrap();
    stream.message().await.unwrap_err();
    for _ in 0..3 {
        _ = stream.message().await;
    }
    drop(stream);
    bare.wait_for(exactly(&[calls("client", "Server", "NotFound", 1, 1)]))
        .await;
}

// M32 on the client: the future is never polled.
#[tokio::test]
async fn a_future_that_is_never_polled_is_a_canceled_call() {
    use tower::{Service, ServiceExt};

    let bare = Bare::new();
    let mut channel = bare.connection.metered(&bare.metrics.layer());
    let ready = ServiceExt::<http::Request<tonic::body::Body>>::ready(&mut channel);
    ready.await.unwrap();
    let request = http::Request::post("/t.v1.Echo/Unary")
        .header("content-type", "application/grpc")
        .body(tonic::body::Body::empty())
        .unwrap();
    drop(channel.call(request));
    assert_eq!(
        nonzero_samples(&bare.exposition),
        exactly(&[calls("client", "Unary", "Canceled", 0, 0)])
    );
}

// M82
#[tokio::test]
async fn the_message_histograms_count_messages() {
    let exposition = Exposition::default();
    let metrics = ClientMetrics::builder()
        .descriptor_set(&echo_descriptor_set())
        .message_times(Buckets::Fine)
        .register(&exposition)
        .unwrap();
    let mut bare = Bare::with(exposition, metrics);
    let stream = bare.echo.server("head send1 send2").await.unwrap();
    assert_eq!(drain(stream).await.0, 3);
    bare.wait_for(exactly(&[
        calls("client", "Server", "OK", 3, 1),
        vec![
            "client msg_recv_handling Server 3".to_owned(),
            "client msg_send_handling Server 1".to_owned(),
        ],
    ]))
    .await;
}

// M82: the wait lasts from the reader's poll to the message.
#[tokio::test]
async fn the_receive_histogram_has_the_waits_of_the_reader() {
    const WAIT: Duration = Duration::from_millis(5);
    let exposition = Exposition::default();
    let metrics = ClientMetrics::builder()
        .descriptor_set(&echo_descriptor_set())
        .message_times(Buckets::Fine)
        .register(&exposition)
        .unwrap();
    let (messages, answer) = mpsc::channel(1);
    let mut answer = Some(StreamBody::new(ReceiverStream::new(answer)));
    let service = service_fn(move |_: http::Request<RequestBody<Body, Client>>| {
        future::ready(Ok::<_, Infallible>(http::Response::new(
            answer.take().unwrap(),
        )))
    });
    let request = http::Request::post("/t.v1.Echo/Server")
        .header("content-type", "application/grpc")
        .body(Body::empty())
        .unwrap();
    let layer = metrics.layer().unboxed();
    let mut body = layer
        .layer(service)
        .oneshot(request)
        .await
        .unwrap()
        .into_body();
    assert!(body.frame().now_or_never().is_none());
    passes(WAIT).await;
    let message = Frame::data(Bytes::from_static(&[0, 0, 0, 0, 0]));
    messages.try_send(Ok::<_, Infallible>(message)).unwrap();
    body.frame().await.unwrap().unwrap();
    let page = page(&exposition);
    let sum = "grpc_client_msg_recv_handling_seconds_sum{grpc_method=\"Server\"";
    let sum = page.lines().find(|line| line.starts_with(sum)).unwrap();
    let sum: f64 = sum.rsplit_once(' ').unwrap().1.parse().unwrap();
    assert!(sum >= WAIT.as_secs_f64(), "{sum}");
}

// M83
#[tokio::test]
async fn fifty_channels_with_one_layer_share_one_set_of_series() {
    let bare = Bare::new();
    let layer = bare.metrics.layer();
    for _ in 0..50 {
        let channel = bare.connection.metered(&layer.clone());
        EchoClient::new(channel).unary("head").await.unwrap();
    }
    bare.wait_for(expected(&[
        "client handled OK Unary 50",
        "client handling Unary 50",
        "client msg_received Unary 50",
        "client msg_sent Unary 50",
        "client started Unary 50",
    ]))
    .await;
}

// Without descriptor sets a client knows the names that tonic's generated code has, but no types.
#[tokio::test]
async fn without_a_descriptor_set_methods_are_learned_from_their_first_call() {
    let exposition = Exposition::default();
    let metrics = ClientMetrics::builder().register(&exposition).unwrap();
    let mut bare = Bare::with(exposition, metrics);
    assert_eq!(page(&bare.exposition), "");
    bare.echo.unary("head").await.unwrap();
    bare.echo
        .client("readall", stream::iter(texts(2)).boxed())
        .await
        .unwrap();
    bare.wait_for(expected(&[
        "client handled OK Client unknown 1",
        "client handled OK Unary unknown 1",
        "client handling Client unknown 1",
        "client handling Unary unknown 1",
        "client msg_received Client unknown 1",
        "client msg_received Unary unknown 1",
        "client msg_sent Client unknown 2",
        "client msg_sent Unary unknown 1",
        "client started Client unknown 1",
        "client started Unary unknown 1",
    ]))
    .await;
}
