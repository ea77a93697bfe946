//! Peers that speak something else than HTTP/2, or speak it wrongly.

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tonic::Code;

use crate::client::{Call, Client, dial, quiet, unary};
use crate::frame::{Frame, flag, kind};
use crate::peer::{MESSAGE, Peer};
use crate::stack::Stack;
use crate::wire::Wire;

/// A call on a new connection succeeds.
async fn recovers<S: Stack>(client: &Client<S>, wire: &mut Wire) {
    let call = client.start(unary());
    let mut peer = wire.accept().await;
    let stream = peer.whole_request().await;
    peer.answer(stream);
    assert_eq!(call.await.unwrap().unwrap().code(), Code::Ok);
}

/// A call on the same connection succeeds.
async fn goes_on<S: Stack>(client: &Client<S>, peer: &mut Peer) {
    let call = client.start(unary());
    let stream = peer.whole_request().await;
    peer.answer(stream);
    assert_eq!(call.await.unwrap().unwrap().code(), Code::Ok);
}

/// A peer that answers each connection's preface with `bytes` is unavailable, and found again.
async fn answers_with<S: Stack>(bytes: &[u8]) {
    let (client, mut wire) = dial::<S>();
    let mut call = client.start(unary());
    let mut open = Vec::new();
    let status = loop {
        tokio::select! {
            mut io = wire.io() => {
                io.read_exact(&mut [0; 24]).await.unwrap();
                io.write_all(bytes).await.unwrap();
                open.push(io);
            }
            ended = &mut call => break ended.unwrap().unwrap_err(),
        }
    };
    assert_eq!(status.code(), Code::Unavailable, "{status}");
    assert!(open.len() <= 2, "{} connections", open.len());
    recovers(&client, &mut wire).await;
}

pub(crate) async fn a_peer_that_speaks_http_1_is_unavailable<S: Stack>() {
    let answer = b"HTTP/1.1 400 Bad Request\r\nconnection: close\r\n\r\n";
    answers_with::<S>(answer).await;
}

pub(crate) async fn a_peer_that_sends_noise_is_unavailable<S: Stack>() {
    let noise: Vec<u8> = (0..4096_u32).map(|n| (n * n % 253) as u8).collect();
    answers_with::<S>(&noise).await;
}

pub(crate) async fn a_peer_that_speaks_tls_is_unavailable<S: Stack>() {
    // The alert "unexpected message".
    answers_with::<S>(b"\x15\x03\x03\x00\x02\x02\x0a").await;
}

/// A call, the peer that has received it, and its stream.
async fn one_open<S: Stack>() -> (Client<S>, Wire, Peer, u32, Call) {
    let (client, mut wire) = dial::<S>();
    let call = client.start(unary());
    let mut peer = wire.accept().await;
    let stream = peer.whole_request().await;
    (client, wire, peer, stream, call)
}

/// Sends a response head with one header of `size` bytes, in as many frames as that takes.
fn send_large_head(peer: &Peer, stream: u32, size: usize) {
    let value = "v".repeat(size);
    let block = crate::frame::fields(&[(":status", "200"), ("x-large", &value)]);
    let mut parts = block.chunks(16 << 10).enumerate().peekable();
    while let Some((n, part)) = parts.next() {
        let kind = if n == 0 {
            kind::HEADERS
        } else {
            kind::CONTINUATION
        };
        let flags = if parts.peek().is_none() {
            flag::END_HEADERS
        } else {
            0
        };
        peer.send(&Frame::new(kind, flags, stream, part.to_vec()));
    }
}

pub(crate) async fn a_header_list_of_15_kib_is_accepted<S: Stack>() {
    let (_client, _wire, peer, stream, call) = one_open::<S>().await;
    send_large_head(&peer, stream, 15 << 10);
    peer.trailers(stream, "0");
    let answer = call.await.unwrap().unwrap();
    assert_eq!(answer.headers["x-large"].len(), 15 << 10);
}

pub(crate) async fn a_header_list_above_16_kib_fails_its_call_alone<S: Stack>() {
    let (client, mut wire, mut peer, stream, call) = one_open::<S>().await;
    send_large_head(&peer, stream, 17 << 10);
    let status = call.await.unwrap().unwrap_err();
    // Not UNAVAILABLE: the peer has run the call, so it must not be tried again.
    let code = status.code();
    let permanent = matches!(code, Code::Internal | Code::ResourceExhausted);
    assert!(permanent, "{status}");
    peer.reset_of(stream).await;
    goes_on(&client, &mut peer).await;
    assert_eq!(wire.attempts().await, 1);
}

pub(crate) async fn an_endless_header_list_ends_the_connection<S: Stack>() {
    let (client, mut wire, mut peer, stream, call) = one_open::<S>().await;
    send_large_head(&peer, stream, 1 << 20);
    let status = call.await.unwrap().unwrap_err();
    assert_ne!(status.code(), Code::Ok);
    peer.closed().await;
    recovers(&client, &mut wire).await;
}

pub(crate) async fn data_after_the_end_of_the_stream_changes_nothing<S: Stack>() {
    let (client, mut wire, peer, stream, call) = one_open::<S>().await;
    peer.answer(stream);
    peer.data(stream, b"more");
    peer.trailers(stream, "13");
    let answer = call.await.unwrap().unwrap();
    assert_eq!((&answer.data[..], answer.code()), (MESSAGE, Code::Ok));
    quiet().await;
    let accept = tokio::spawn(async move {
        crate::served::serve(wire.io().await, crate::served::echo);
        wire
    });
    // On this connection or the next: HTTP/2 allows both.
    let mut same = peer;
    let next = client.start(unary());
    tokio::select! {
        stream = same.whole_request() => same.answer(stream),
        wire = accept => drop(wire.unwrap()),
    }
    assert_eq!(next.await.unwrap().unwrap().code(), Code::Ok);
}

pub(crate) async fn data_before_the_response_fails_the_call<S: Stack>() {
    let (_client, _wire, peer, stream, call) = one_open::<S>().await;
    peer.data(stream, b"early");
    let status = call.await.unwrap().unwrap_err();
    let code = status.code();
    assert!(
        matches!(code, Code::Internal | Code::Unavailable),
        "{status}"
    );
}

pub(crate) async fn a_frame_on_a_stream_that_nobody_opened_ends_the_connection<S: Stack>() {
    let (client, mut wire, mut peer, stream, call) = one_open::<S>().await;
    peer.data(stream + 100, b"whose");
    let status = call.await.unwrap().unwrap_err();
    assert_eq!(status.code(), Code::Unavailable, "{status}");
    peer.closed().await;
    recovers(&client, &mut wire).await;
}

pub(crate) async fn a_frame_above_16_kib_ends_the_connection<S: Stack>() {
    let (client, mut wire, mut peer, stream, call) = one_open::<S>().await;
    peer.head(stream);
    peer.data(stream, &[0; 17 << 10]);
    let status = call.await.unwrap().unwrap_err();
    assert_eq!(status.code(), Code::Unavailable, "{status}");
    peer.closed().await;
    recovers(&client, &mut wire).await;
}

pub(crate) async fn a_response_without_a_status_line_fails_its_call<S: Stack>() {
    let (client, _wire, mut peer, stream, call) = one_open::<S>().await;
    peer.headers(stream, 0, &[("content-type", "application/grpc")]);
    let status = call.await.unwrap().unwrap_err();
    assert_eq!(status.code(), Code::Internal, "{status}");
    goes_on(&client, &mut peer).await;
}

pub(crate) async fn an_upper_case_header_fails_its_call<S: Stack>() {
    let (_client, _wire, peer, stream, call) = one_open::<S>().await;
    peer.headers(stream, 0, &[(":status", "200"), ("X-Upper", "1")]);
    let status = call.await.unwrap().unwrap_err();
    let code = status.code();
    assert!(
        matches!(code, Code::Internal | Code::Unavailable),
        "{status}"
    );
}
