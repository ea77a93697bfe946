//! Hand-written HTTP/2 servers that misbehave.

use bytes::Bytes;
use grpc_prometheus::Exposition;
use h2::Reason;
use http::{HeaderMap, Response};
use tokio::{io::DuplexStream, sync::oneshot};
use tonic::{Code, Status};
use tower::ServiceBuilder;

use crate::{
    caller::{EchoClient, drain},
    duplex::{client, connect},
    expect::{calls, eventually, exactly, nonzero_samples, wait_for},
    wire::read,
};

/// The response of a hand-written server.
#[derive(Clone, Copy, Debug)]
enum Answer {
    /// A head with this HTTP status, then these bytes, then the end.
    Body(u16, &'static [u8], End),
    /// A head that ends the stream.
    Head(u16, Option<&'static str>),
    /// A head with the status that does not end the stream.
    Status(&'static str, &'static [u8]),
    Reset(Reason),
}

#[derive(Clone, Copy, Debug)]
enum End {
    Clean,
    Trailers(Option<&'static str>),
    Reset(Reason),
}

/// `seen` resolves when the client has read a message.
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
            // The server must read the request before it ends, or the client sees a reset.
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
        // A frame of trailers exists in grpc-web alone.
        (
            Answer::Body(
                200,
                b"\0\0\0\0\0\x80\0\0\0\x0fgrpc-status:0\r\n",
                End::Clean,
            ),
            Code::Internal,
            1,
        ),
        (
            Answer::Body(
                200,
                b"\0\0\0\0\0\x80\0\0\0\x0fgrpc-status:0\r\n",
                End::Trailers(Some("0")),
            ),
            Code::Internal,
            1,
        ),
        (
            Answer::Body(200, b"\x07\0\0\0\0", End::Trailers(Some("0"))),
            Code::Internal,
            1,
        ),
        (
            Answer::Body(200, b"<html>a page</html>", End::Clean),
            Code::Internal,
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
        let (exposition, status) = call(case).await;
        let lines = calls("client", "Server", &name(expected), messages, 1);
        println!("{case:?} {status:?}");
        if matches!(case, Answer::Reset(_) | Answer::Head(..)) {
            // The response may arrive before the request's message is sent.
            let unsent = exactly(&[calls("client", "Server", &name(expected), messages, 0)]);
            let sent = exactly(&[lines]);
            let settled = || [&sent, &unsent].contains(&&nonzero_samples(&exposition));
            assert!(
                eventually(settled).await,
                "{case:?}: {:?}",
                nonzero_samples(&exposition)
            );
        } else {
            wait_for(&exposition, exactly(&[lines])).await;
        }
        // The decoder fails before the caller sees the HTTP status.
        if !matches!(case, Answer::Body(503, b"busy", _)) {
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
    let (exposition, status) = call(Answer::Status("5", b"\0\0\0\0\0")).await;
    assert_eq!(status.unwrap_err().code(), Code::NotFound);
    let lines = calls("client", "Server", "NotFound", 0, 1);
    wait_for(&exposition, exactly(&[lines])).await;
}

// The decoder is outside of the layer: on the wire, the caller leaves.
#[tokio::test]
async fn a_response_that_the_client_cannot_decode_is_canceled() {
    const GARBAGE: &[u8] = b"\0\0\0\0\x02\x0a\x7f";
    let (exposition, status) = call(Answer::Body(200, GARBAGE, End::Trailers(Some("0")))).await;
    assert_eq!(status.unwrap_err().code(), Code::Internal);
    let lines = calls("client", "Server", "Canceled", 1, 1);
    wait_for(&exposition, exactly(&[lines])).await;
}

// A proxy's page is no message: the caller drops it, and the HTTP status is the outcome.
#[tokio::test]
async fn a_page_of_a_proxy_is_the_code_of_its_http_status() {
    const PAGE: &[u8] = b"<html><body>bad gateway</body></html>";
    for end in [End::Clean, End::Trailers(None)] {
        let (exposition, status) = call(Answer::Body(502, PAGE, end)).await;
        assert_eq!(status.unwrap_err().code(), Code::Internal);
        let lines = calls("client", "Server", "Unavailable", 0, 1);
        wait_for(&exposition, exactly(&[lines])).await;
    }
}

/// Makes one server-streaming call of a metered client and reads it to its end.
async fn call(case: Answer) -> (Exposition, Result<(), Status>) {
    let (exposition, metrics) = client();
    let (near, far) = tokio::io::duplex(1 << 16);
    let (seen, was_seen) = oneshot::channel();
    tokio::spawn(answer(far, case, was_seen));
    let channel = ServiceBuilder::new()
        .layer(metrics.layer())
        .service(connect(near));
    let mut stream = match EchoClient::new(channel).server("").await {
        Ok(stream) => stream,
        Err(status) => return (exposition, Err(status)),
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
    (exposition, result)
}

// The kind of the call is known, so an OK takes the messages that the kind allows.
#[tokio::test]
async fn a_unary_call_is_what_its_caller_sees_for_any_number_of_messages() {
    const MESSAGE: &[u8] = b"\0\0\0\0\0";
    const TWO: &[u8] = b"\0\0\0\0\0\0\0\0\0\0";
    for (case, expected, messages) in [
        (Answer::Head(200, Some("0")), Code::Internal, 0),
        (
            Answer::Body(200, b"", End::Trailers(Some("0"))),
            Code::Internal,
            0,
        ),
        (Answer::Status("0", b""), Code::Internal, 0),
        (
            Answer::Body(200, b"\0\0\0\0\x09abc", End::Trailers(Some("0"))),
            Code::Internal,
            0,
        ),
        (
            Answer::Body(200, MESSAGE, End::Trailers(Some("0"))),
            Code::Ok,
            1,
        ),
        (Answer::Status("0", MESSAGE), Code::Ok, 1),
        // tonic ignores further messages.
        (
            Answer::Body(200, TWO, End::Trailers(Some("0"))),
            Code::Ok,
            2,
        ),
        (Answer::Status("0", TWO), Code::Ok, 2),
        (
            Answer::Body(200, b"", End::Trailers(Some("5"))),
            Code::NotFound,
            0,
        ),
        (
            Answer::Body(200, TWO, End::Trailers(Some("5"))),
            Code::NotFound,
            2,
        ),
    ] {
        let (exposition, metrics) = client();
        let (near, far) = tokio::io::duplex(1 << 16);
        let (_seen, was_seen) = oneshot::channel();
        tokio::spawn(answer(far, case, was_seen));
        let channel = ServiceBuilder::new()
            .layer(metrics.layer())
            .service(connect(near));
        let result = EchoClient::new(channel).unary("").await;
        let seen = result.err().map_or(Code::Ok, |status| status.code());
        assert_eq!(seen, expected, "{case:?}");
        let settled = || {
            let lines =
                |sent| exactly(&[calls("client", "Unary", &name(expected), messages, sent)]);
            [lines(0), lines(1)].contains(&nonzero_samples(&exposition))
        };
        assert!(
            eventually(settled).await,
            "{case:?}: {:?}",
            nonzero_samples(&exposition)
        );
    }
}
