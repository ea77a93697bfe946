//! Connections that fail during a call: a missed keep-alive, GOAWAY, a connection that closed
//! before the call.

use std::{io, time::Duration};

use bytes::Bytes;
use grpc_prometheus::Exposition;
use h2::Reason;
use http::{HeaderMap, Response};
use http_body_util::Empty;
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream};
use tonic::{Status, transport::Channel};
use tower::{Layer, ServiceBuilder, ServiceExt, service_fn};

use crate::{
    caller::{EchoClient, drain},
    duplex::{client, connect, connect_with},
    expect::{calls, exactly, nonzero_samples, wait_for},
    layers::grpc,
    wire::read,
};

const SECOND: Duration = Duration::from_secs(1);

/// Makes one server-streaming call of a metered client and reads it to its end.
async fn call(channel: Channel) -> (Exposition, Result<usize, Status>) {
    let (exposition, metrics) = client();
    let channel = ServiceBuilder::new()
        .layer(metrics.layer())
        .service(channel);
    let end = match EchoClient::new(channel).server("").await {
        Ok(stream) => match drain(stream).await {
            (count, Ok(())) => Ok(count),
            (_, Err(status)) => Err(status),
        },
        Err(status) => Err(status),
    };
    (exposition, end)
}

// The specification: an expired keep-alive of the client closes all calls as `UNAVAILABLE`.
#[tokio::test(start_paused = true)]
async fn a_missed_keep_alive_is_unavailable_before_the_head_and_after() {
    for answers in [false, true] {
        let (near, far) = tokio::io::duplex(1 << 16);
        let silent = tokio::spawn(async move {
            let mut connection = h2::server::handshake(far).await.unwrap();
            let (request, mut respond) = connection.accept().await.unwrap().unwrap();
            let mut kept = None;
            if answers {
                let mut body = respond.send_response(head(), false).unwrap();
                body.send_data(Bytes::from_static(&[0; 5]), false).unwrap();
                kept = Some(body);
            }
            // Lets pending frames be written. Then nobody reads the connection or acknowledges
            // pings.
            _ = tokio::time::timeout(SECOND / 2, connection.accept()).await;
            std::future::pending::<()>().await;
            drop((connection, request, respond, kept));
        });
        let channel = connect_with(near, |endpoint| {
            let endpoint = endpoint.http2_keep_alive_interval(SECOND);
            endpoint.keep_alive_timeout(SECOND)
        });
        let (exposition, end) = call(channel).await;
        end.unwrap_err();
        let lines = calls("client", "Server", "Unavailable", u64::from(answers), 1);
        wait_for(&exposition, exactly(&[lines])).await;
        silent.abort();
    }
}

// For any reason: the server did not process streams above the last one, and the others are lost
// with the connection. tonic derives its status from the reason, as for a stream reset.
#[tokio::test]
async fn a_connection_that_receives_goaway_is_unavailable_whatever_the_reason() {
    for reason in [
        Reason::NO_ERROR,
        Reason::ENHANCE_YOUR_CALM,
        Reason::INTERNAL_ERROR,
        Reason::PROTOCOL_ERROR,
        Reason::INADEQUATE_SECURITY,
        Reason::CANCEL,
    ] {
        for last_stream in [0, 1] {
            let (near, far) = tokio::io::duplex(1 << 16);
            let server = tokio::spawn(go_away(far, last_stream, reason));
            let (exposition, end) = call(connect(near)).await;
            println!("{reason:?} {last_stream} {end:?}");
            end.unwrap_err();
            let lines = calls("client", "Server", "Unavailable", 0, 1);
            wait_for(&exposition, exactly(&[lines])).await;
            server.await.unwrap().unwrap();
        }
    }
}

/// Reads one request, sends GOAWAY and closes.
async fn go_away(mut io: DuplexStream, last_stream: u32, reason: Reason) -> io::Result<()> {
    const PREFACE: usize = 24;
    const DATA: u8 = 0;
    const END_STREAM: u8 = 1;
    let settings = [0, 0, 0, 4, 0, 0, 0, 0, 0];
    io.write_all(&settings).await?;
    io.read_exact(&mut [0; PREFACE]).await?;
    loop {
        let mut head = [0; 9];
        io.read_exact(&mut head).await?;
        let [a, b, c, kind, flags, ..] = head;
        let length = u32::from_be_bytes([0, a, b, c]);
        io.read_exact(&mut vec![0; length as usize]).await?;
        if kind == DATA && flags & END_STREAM != 0 {
            break;
        }
    }
    let mut frame = vec![0, 0, 8, 7, 0, 0, 0, 0, 0];
    frame.extend(last_stream.to_be_bytes());
    frame.extend(u32::from(reason).to_be_bytes());
    io.write_all(&frame).await
}

#[tokio::test]
async fn a_call_that_is_answered_after_a_graceful_go_away_is_ok() {
    let (near, far) = tokio::io::duplex(1 << 16);
    tokio::spawn(async move {
        let mut connection = h2::server::handshake(far).await.unwrap();
        let (request, mut respond) = connection.accept().await.unwrap().unwrap();
        connection.graceful_shutdown();
        let driver = tokio::spawn(async move { while connection.accept().await.is_some() {} });
        read(request.into_body()).await;
        let mut body = respond.send_response(head(), false).unwrap();
        body.send_data(Bytes::from_static(&[0; 10]), false).unwrap();
        let status = ("grpc-status".parse().unwrap(), "0".parse().unwrap());
        body.send_trailers(HeaderMap::from_iter([status])).unwrap();
        driver.await.unwrap();
    });
    let (exposition, end) = call(connect(near)).await;
    assert_eq!(end.unwrap(), 2);
    wait_for(
        &exposition,
        exactly(&[calls("client", "Server", "OK", 2, 1)]),
    )
    .await;
}

// Like hyper and tonic.
#[tokio::test]
async fn a_request_that_finds_its_connection_closed_is_canceled() {
    let (near, far) = tokio::io::duplex(1 << 16);
    let (exposition, metrics) = client();
    let handshake = hyper::client::conn::http2::handshake(TokioExecutor::new(), TokioIo::new(near));
    let (requests, connection) = handshake.await.unwrap();
    drop((connection, far));
    let service = service_fn(move |request| requests.clone().send_request(request));
    let service = metrics.layer().unboxed().layer(service);
    let request = grpc("/t.v1.Echo/Unary").body(Empty::<Bytes>::new());
    let error = service.oneshot(request.unwrap()).await.unwrap_err();
    assert!(error.downcast_ref::<hyper::Error>().unwrap().is_canceled());
    let lines = calls("client", "Unary", "Canceled", 0, 0);
    assert_eq!(nonzero_samples(&exposition), exactly(&[lines]));
}

fn head() -> Response<()> {
    let head = Response::builder().header("content-type", "application/grpc");
    head.body(()).unwrap()
}
