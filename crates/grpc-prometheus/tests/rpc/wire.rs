//! Hand-written HTTP/2 clients that misbehave.

use bytes::Bytes;
use grpc_prometheus::{Exposition, RequestBody, ServerMetrics};
use h2::{Reason, RecvStream, SendStream};
use http::{HeaderMap, Request, Response};
use tokio::sync::oneshot;
use tonic::{body::Body, service::Routes, transport::Server};
use tower::{BoxError, Service, ServiceBuilder};

use crate::{
    duplex::serve,
    echo::{Echo, echo_descriptor_set},
    expect::{calls, eventually, exactly, wait_for},
};

/// A metered server and the hand-written client's end of its connection.
pub(crate) struct Served {
    pub(crate) exposition: Exposition,
    pub(crate) metrics: ServerMetrics,
    requests: h2::client::SendRequest<Bytes>,
    connection: tokio::task::JoinHandle<()>,
    _stop: oneshot::Sender<()>,
}

/// The pending response, and the request body's sender.
type Exchange = (h2::client::ResponseFuture, SendStream<Bytes>);

impl Served {
    pub(crate) async fn new() -> Self {
        Self::with(tower::layer::util::Identity::new()).await
    }

    /// With a layer inside the metrics layer.
    pub(crate) async fn with<L, S>(inside: L) -> Self
    where
        L: tower::Layer<Routes, Service = S> + Clone + Send + 'static,
        S: Service<
                Request<RequestBody<Body>>,
                Response = Response<Body>,
                Error: Into<BoxError> + Send,
                Future: Send,
            > + Clone
            + Send
            + 'static,
    {
        let exposition = Exposition::default();
        let builder = ServerMetrics::builder().descriptor_set(&echo_descriptor_set());
        let metrics = builder.register(&exposition).unwrap();
        let (near, far) = tokio::io::duplex(1 << 16);
        let (stop, stopped) = oneshot::channel();
        let layers = ServiceBuilder::new().layer(metrics.layer()).layer(inside);
        let server = Server::builder().layer(layers.into_inner());
        serve(server, Echo::default().routes(), far, stopped);
        let (requests, connection) = h2::client::handshake(near).await.unwrap();
        let connection = tokio::spawn(async move { _ = connection.await });
        Self {
            exposition,
            metrics,
            requests: requests.ready().await.unwrap(),
            connection,
            _stop: stop,
        }
    }

    pub(crate) fn call(&mut self, method: &str, script: &str) -> Exchange {
        self.call_with(method, &[("x-script", script)])
    }

    pub(crate) fn call_with(&mut self, method: &str, headers: &[(&str, &str)]) -> Exchange {
        let request = Request::post(format!("http://echo/t.v1.Echo/{method}"))
            .header("content-type", "application/grpc")
            .header("te", "trailers");
        let request = headers.iter().fold(request, |request, (name, value)| {
            request.header(*name, *value)
        });
        self.requests
            .send_request(request.body(()).unwrap(), false)
            .unwrap()
    }

    pub(crate) async fn received(&self, messages: u64) {
        let received = || self.metrics.snapshot().received == messages;
        assert!(eventually(received).await, "{:?}", self.metrics.snapshot());
    }

    pub(crate) async fn wait_for(&self, expected: Vec<String>) {
        wait_for(&self.exposition, expected).await;
    }
}

/// A message of this many bytes, with its prefix.
pub(crate) fn message(length: u8) -> Vec<u8> {
    let mut message = vec![0, 0, 0, 0, length];
    // Repeats the empty field 15, which the server ignores.
    message.extend([0x7a, 0].iter().cycle().take(usize::from(length)));
    message
}

pub(crate) async fn read(mut body: RecvStream) -> HeaderMap {
    while let Some(data) = body.data().await {
        let length = data.unwrap().len();
        body.flow_control().release_capacity(length).unwrap();
    }
    body.trailers().await.unwrap().unwrap_or_default()
}

// M39
#[tokio::test]
async fn frames_of_one_byte_are_the_same_messages() {
    let mut served = Served::new().await;
    let (response, mut body) = served.call("Client", "readall");
    for byte in [message(4), message(0), message(6)].concat() {
        body.send_data(Bytes::from(vec![byte]), false).unwrap();
    }
    body.send_data(Bytes::new(), true).unwrap();
    let trailers = read(response.await.unwrap().into_body()).await;
    assert_eq!(trailers["grpc-status"], "0");
    served
        .wait_for(exactly(&[calls("server", "Client", "OK", 3, 1)]))
        .await;
}

// M40
#[tokio::test]
async fn many_messages_in_one_frame_are_many_messages() {
    let mut served = Served::new().await;
    let (response, mut body) = served.call("Client", "readall");
    let messages = [message(0), message(2), message(0), message(4), message(0)];
    body.send_data(messages.concat().into(), true).unwrap();
    read(response.await.unwrap().into_body()).await;
    served
        .wait_for(exactly(&[calls("server", "Client", "OK", 5, 1)]))
        .await;
}

// M42 M47: the handler sees a regular end of the stream, the wire a reset.
#[tokio::test]
async fn half_a_message_and_a_reset_is_canceled() {
    for script in ["readall", "readall err9", "hang"] {
        let mut served = Served::new().await;
        let (_response, mut body) = served.call("Client", script);
        let third = &message(8)[..7];
        let cut = [&message(2)[..], &message(4), third].concat();
        body.send_data(cut.into(), false).unwrap();
        if script != "hang" {
            served.received(2).await;
        }
        body.send_reset(Reason::CANCEL);
        let received = if script == "hang" { 0 } else { 2 };
        let lines = calls("server", "Client", "Canceled", received, 0);
        served.wait_for(exactly(&[lines])).await;
    }
}

// M48
#[tokio::test]
async fn a_unary_call_reset_before_its_message_is_canceled_and_not_internal() {
    let mut served = Served::new().await;
    let (_response, mut body) = served.call("Unary", "head");
    body.send_data(Bytes::from_static(&[0, 0, 0]), false)
        .unwrap();
    let started = || served.metrics.snapshot().started == 1;
    assert!(eventually(started).await);
    body.send_reset(Reason::CANCEL);
    served
        .wait_for(exactly(&[calls("server", "Unary", "Canceled", 0, 0)]))
        .await;
}

// M49
#[tokio::test]
async fn a_connection_lost_in_the_middle_of_a_request_is_canceled() {
    let mut served = Served::new().await;
    let (_response, mut body) = served.call("Client", "readall err3");
    body.send_data(message(2).into(), false).unwrap();
    served.received(1).await;
    served.connection.abort();
    served
        .wait_for(exactly(&[calls("server", "Client", "Canceled", 1, 0)]))
        .await;
}

// M54
#[tokio::test]
async fn a_caller_that_resets_after_reading_the_trailers_changes_nothing() {
    let mut served = Served::new().await;
    let (response, mut body) = served.call("Client", "err5");
    let head = response.await.unwrap();
    assert_eq!(head.headers()["grpc-status"], "5");
    body.send_reset(Reason::CANCEL);
    served
        .wait_for(exactly(&[calls("server", "Client", "NotFound", 0, 0)]))
        .await;
}

// M25
#[tokio::test]
async fn a_request_in_an_encoding_that_the_service_does_not_know_is_unimplemented() {
    let mut served = Served::new().await;
    let (response, mut body) = served.call_with("Unary", &[("grpc-encoding", "br")]);
    body.send_data(message(2).into(), true).unwrap();
    assert_eq!(response.await.unwrap().headers()["grpc-status"], "12");
    served
        .wait_for(exactly(&[calls("server", "Unary", "Unimplemented", 0, 0)]))
        .await;
}
