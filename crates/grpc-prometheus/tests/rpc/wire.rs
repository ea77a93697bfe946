//! Hand-made HTTP/2 peers, for what a well-behaved one never does.

use bytes::Bytes;
use grpc_prometheus::{ClientMetrics, RequestBody, ServerMetrics};
use h2::{Reason, RecvStream, SendStream};
use http::{HeaderMap, Request, Response};
use prometheus::Registry;
use tokio::{io::DuplexStream, sync::oneshot};
use tonic::{Code, Status, body::Body, service::Routes, transport::Server};
use tower::{BoxError, Service, ServiceBuilder};

use crate::{
    echo::{Echo, EchoClient, connect, drain, echo_descriptor_set, serve},
    expect::{calls, eventually, moved, only, settled},
};

/// A metered server and the hand-made client's end of its connection.
pub(crate) struct Served {
    pub(crate) registry: Registry,
    pub(crate) metrics: ServerMetrics,
    requests: h2::client::SendRequest<Bytes>,
    connection: tokio::task::JoinHandle<()>,
    _stop: oneshot::Sender<()>,
}

/// The answer to come, and the way for the request's body.
type Exchange = (h2::client::ResponseFuture, SendStream<Bytes>);

impl Served {
    pub(crate) async fn new() -> Self {
        Self::with(tower::layer::util::Identity::new()).await
    }

    /// With a layer inside the metrics.
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
        let registry = Registry::new();
        let builder = ServerMetrics::builder().descriptor_set(&echo_descriptor_set());
        let metrics = builder.register(&registry).unwrap();
        let (near, far) = tokio::io::duplex(1 << 16);
        let (stop, stopped) = oneshot::channel();
        let layers = ServiceBuilder::new().layer(metrics.layer()).layer(inside);
        let server = Server::builder().layer(layers.into_inner());
        serve(server, Echo::default().routes(), far, stopped);
        let (requests, connection) = h2::client::handshake(near).await.unwrap();
        let connection = tokio::spawn(async move { _ = connection.await });
        Self {
            registry,
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

    pub(crate) async fn settled(&self, expected: Vec<String>) {
        settled(&self.registry, expected).await;
    }
}

/// A message of so many bytes, with its prefix.
pub(crate) fn message(length: u8) -> Vec<u8> {
    let mut message = vec![0, 0, 0, 0, length];
    // Field 15 with no bytes, as often as it fits: unknown to the server, and ignored.
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
        .settled(only(&[calls("server", "Client", "OK", 3, 1)]))
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
        .settled(only(&[calls("server", "Client", "OK", 5, 1)]))
        .await;
}

// M42 M47: tonic shows the handler a clean end of the stream, the wire shows a reset.
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
        served.settled(only(&[lines])).await;
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
        .settled(only(&[calls("server", "Unary", "Canceled", 0, 0)]))
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
        .settled(only(&[calls("server", "Client", "Canceled", 1, 0)]))
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
        .settled(only(&[calls("server", "Client", "NotFound", 0, 0)]))
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
        .settled(only(&[calls("server", "Unary", "Unimplemented", 0, 0)]))
        .await;
}

/// What a hand-made server answers to one call.
#[derive(Clone, Copy, Debug)]
enum Answer {
    /// Head with this HTTP status and no end, then these bytes, then the end.
    Body(u16, &'static [u8], End),
    /// A head that is also the end.
    Head(u16, Option<&'static str>),
    /// A head that has the status and is not the end.
    Status(&'static str, &'static [u8]),
    Reset(Reason),
}

#[derive(Clone, Copy, Debug)]
enum End {
    Clean,
    Trailers(Option<&'static str>),
    Reset(Reason),
}

/// `seen` comes when the client has read a message.
async fn answer(io: DuplexStream, answer: Answer, seen: oneshot::Receiver<()>) {
    let mut connection = h2::server::handshake(io).await.unwrap();
    let (request, mut respond) = connection.accept().await.unwrap().unwrap();
    let driver = tokio::spawn(async move { while connection.accept().await.is_some() {} });
    let head = |status| {
        Response::builder()
            .status(status)
            .header("content-type", "application/grpc")
    };
    match answer {
        Answer::Reset(reason) => respond.send_reset(reason),
        Answer::Status(status, bytes) => {
            read(request.into_body()).await;
            let head = head(200).header("grpc-status", status).body(()).unwrap();
            let mut body = respond.send_response(head, false).unwrap();
            body.send_data(Bytes::from_static(bytes), false).unwrap();
            body.send_trailers(HeaderMap::new()).unwrap();
        }
        Answer::Head(status, grpc_status) => {
            let mut head = head(status);
            if let Some(status) = grpc_status {
                head = head.header("grpc-status", status);
            }
            respond.send_response(head.body(()).unwrap(), true).unwrap();
        }
        Answer::Body(status, bytes, end) => {
            // A server that ends early must have read the request, or the client sees a reset.
            read(request.into_body()).await;
            let head = head(status).body(()).unwrap();
            let mut body = respond.send_response(head, false).unwrap();
            body.send_data(Bytes::from_static(bytes), matches!(end, End::Clean))
                .unwrap();
            match end {
                End::Clean => {}
                End::Trailers(status) => {
                    let status =
                        status.map(|s| ("grpc-status".parse().unwrap(), s.parse().unwrap()));
                    body.send_trailers(HeaderMap::from_iter(status)).unwrap();
                }
                End::Reset(reason) => {
                    seen.await.unwrap();
                    body.send_reset(reason);
                }
            }
        }
    }
    _ = driver.await;
}

fn name(code: Code) -> String {
    match code {
        Code::Ok => "OK".into(),
        Code::Cancelled => "Canceled".into(),
        code => format!("{code:?}"),
    }
}

// M85 M92 M97
#[tokio::test]
async fn whatever_a_server_does_is_one_code_and_the_caller_sees_the_same() {
    const TWO: &[u8] = b"\0\0\0\0\0\0\0\0\0\0";
    let cases = [
        (
            Answer::Body(200, TWO, End::Trailers(Some("0"))),
            Code::Ok,
            2,
        ),
        (
            Answer::Body(200, TWO, End::Trailers(Some("42"))),
            Code::Unknown,
            2,
        ),
        (
            Answer::Body(200, TWO, End::Trailers(Some("x"))),
            Code::Unknown,
            2,
        ),
        (
            Answer::Body(200, TWO, End::Trailers(Some("16"))),
            Code::Unauthenticated,
            2,
        ),
        (
            Answer::Body(200, TWO, End::Trailers(None)),
            Code::Unknown,
            2,
        ),
        (Answer::Body(200, TWO, End::Clean), Code::Unknown, 2),
        (
            Answer::Body(200, b"\0\0\0\0\x09abc", End::Trailers(Some("0"))),
            Code::Ok,
            0,
        ),
        (
            Answer::Body(200, b"\0\0\0\0\0", End::Reset(Reason::INTERNAL_ERROR)),
            Code::Internal,
            1,
        ),
        (
            Answer::Body(200, b"\0\0\0\0\0", End::Reset(Reason::CANCEL)),
            Code::Cancelled,
            1,
        ),
        (
            Answer::Body(200, b"\0\0\0\0\0", End::Reset(Reason::REFUSED_STREAM)),
            Code::Unavailable,
            1,
        ),
        (
            Answer::Body(200, b"\0\0\0\0\0", End::Reset(Reason::NO_ERROR)),
            Code::Unknown,
            1,
        ),
        (Answer::Body(503, b"busy", End::Clean), Code::Unavailable, 0),
        (
            Answer::Body(503, b"", End::Trailers(Some("8"))),
            Code::ResourceExhausted,
            0,
        ),
        (Answer::Head(200, Some("7")), Code::PermissionDenied, 0),
        (Answer::Head(200, Some("42")), Code::Unknown, 0),
        (Answer::Head(200, None), Code::Unknown, 0),
        (Answer::Head(400, None), Code::Internal, 0),
        (Answer::Head(401, None), Code::Unauthenticated, 0),
        (Answer::Head(403, None), Code::PermissionDenied, 0),
        (Answer::Head(404, None), Code::Unimplemented, 0),
        (Answer::Head(429, None), Code::Unavailable, 0),
        (Answer::Head(500, None), Code::Unknown, 0),
        (Answer::Head(502, None), Code::Unavailable, 0),
        (Answer::Head(504, None), Code::Unavailable, 0),
        (Answer::Reset(Reason::REFUSED_STREAM), Code::Unavailable, 0),
        (
            Answer::Reset(Reason::ENHANCE_YOUR_CALM),
            Code::ResourceExhausted,
            0,
        ),
        (
            Answer::Reset(Reason::INADEQUATE_SECURITY),
            Code::PermissionDenied,
            0,
        ),
        (Answer::Reset(Reason::PROTOCOL_ERROR), Code::Internal, 0),
        (Answer::Reset(Reason::INTERNAL_ERROR), Code::Internal, 0),
        (Answer::Reset(Reason::FLOW_CONTROL_ERROR), Code::Internal, 0),
        (Answer::Reset(Reason::SETTINGS_TIMEOUT), Code::Internal, 0),
        (Answer::Reset(Reason::FRAME_SIZE_ERROR), Code::Internal, 0),
        (Answer::Reset(Reason::COMPRESSION_ERROR), Code::Internal, 0),
        (Answer::Reset(Reason::CONNECT_ERROR), Code::Internal, 0),
        (Answer::Reset(Reason::NO_ERROR), Code::Internal, 0),
        (Answer::Reset(Reason::HTTP_1_1_REQUIRED), Code::Unknown, 0),
        (Answer::Reset(Reason::CANCEL), Code::Cancelled, 0),
    ];
    for (case, expected, messages) in cases {
        let (registry, status) = call(case).await;
        let lines = calls("client", "Server", &name(expected), messages, 1);
        println!("{case:?} {status:?}");
        if matches!(case, Answer::Reset(_) | Answer::Head(..)) {
            // The answer may overtake the request's message.
            let unsent = only(&[calls("client", "Server", &name(expected), messages, 0)]);
            let sent = only(&[lines]);
            let settled = || [&sent, &unsent].contains(&&moved(&registry));
            assert!(
                eventually(settled).await,
                "{case:?}: {:?}",
                moved(&registry)
            );
        } else {
            settled(&registry, only(&[lines])).await;
        }
        // A truncated message is the decoder's complaint; it comes after the end of the call.
        if !matches!(
            case,
            Answer::Body(_, b"\0\0\0\0\x09abc", _) | Answer::Body(503, b"busy", _)
        ) {
            assert_eq!(
                status.err().map_or(Code::Ok, |s| s.code()),
                expected,
                "{case:?}"
            );
        }
    }
}

#[tokio::test]
async fn a_status_in_the_head_ends_the_call_whatever_follows() {
    let (registry, status) = call(Answer::Status("5", b"\0\0\0\0\0")).await;
    assert_eq!(status.unwrap_err().code(), Code::NotFound);
    let lines = calls("client", "Server", "NotFound", 0, 1);
    settled(&registry, only(&[lines])).await;
}

// The decoder is outside of the layer: what the wire shows is a caller who leaves.
#[tokio::test]
async fn an_answer_that_the_caller_cannot_decode_is_canceled() {
    const GARBAGE: &[u8] = b"\0\0\0\0\x02\x0a\x7f";
    let (registry, status) = call(Answer::Body(200, GARBAGE, End::Trailers(Some("0")))).await;
    assert_eq!(status.unwrap_err().code(), Code::Internal);
    let lines = calls("client", "Server", "Canceled", 1, 1);
    settled(&registry, only(&[lines])).await;
}

/// One server-streaming call of a metered client, read to its end.
async fn call(case: Answer) -> (Registry, Result<(), Status>) {
    let registry = Registry::new();
    let builder = ClientMetrics::builder().descriptor_set(&echo_descriptor_set());
    let metrics = builder.register(&registry).unwrap();
    let (near, far) = tokio::io::duplex(1 << 16);
    let (seen, was_seen) = oneshot::channel();
    tokio::spawn(answer(far, case, was_seen));
    let channel = ServiceBuilder::new()
        .layer(metrics.layer())
        .service(connect(near));
    let mut stream = match EchoClient::new(channel).server("").await {
        Ok(stream) => stream,
        Err(status) => return (registry, Err(status)),
    };
    let first = stream.message().await;
    if matches!(case, Answer::Body(_, _, End::Reset(_))) {
        assert!(matches!(first, Ok(Some(_))), "{case:?}: {first:?}");
        seen.send(()).unwrap();
    }
    let result = match first {
        Ok(Some(_)) => drain(stream).await.1,
        Ok(None) => Ok(()),
        Err(status) => Err(status),
    };
    (registry, result)
}
