//! Streams in both directions, and what holds them back.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use bytes::Bytes;
use futures_util::stream;
use http_body::Frame as BodyFrame;
use http_body_util::{BodyExt, StreamBody};
use tonic::body::Body;
use tonic::{Code, Status};

use crate::client::{CHUNK, Endless, dial, quiet, read, request, unary, upload};
use crate::frame::{Frame, error, flag, kind, setting};
use crate::peer::{MESSAGE, Peer};
use crate::served;
use crate::stack::Stack;

/// HTTP/2's window before a SETTINGS changes it.
const WINDOW: usize = 65_535;
/// The window of our connections, which bounds what an unread response keeps in memory.
const MEBIBYTE: usize = 1 << 20;

pub(crate) async fn each_message_is_answered_before_the_next_is_sent<S: Stack>() {
    let (client, mut wire) = dial::<S>();
    let (sender, body) = upload();
    let call = client.open(request("/test.Echo/Bidi", body));
    served::serve(wire.io().await, served::echo);
    let mut body = call.await.unwrap().unwrap().into_body();
    for n in 0..100_u8 {
        sender.send(Bytes::from(vec![n; 10])).unwrap();
        let frame = body.frame().await.unwrap().map_err(Into::into).unwrap();
        assert_eq!(frame.into_data().unwrap(), vec![n; 10]);
    }
    drop(sender);
    let frame = body.frame().await.unwrap().map_err(Into::into).unwrap();
    assert_eq!(frame.into_trailers().unwrap()["grpc-status"], "0");
}

pub(crate) async fn the_response_may_begin_before_the_request_has_a_body<S: Stack>() {
    let (client, mut wire) = dial::<S>();
    let (sender, body) = upload();
    let call = client.open(request("/test.Echo/Bidi", body));
    let mut peer = wire.accept().await;
    let stream = peer.request().await;
    peer.head(stream);
    let response = call.await.unwrap().unwrap();
    drop(sender);
    assert_eq!(peer.whole_request().await, stream);
    peer.trailers(stream, "0");
    assert_eq!(read(response).await.unwrap().code(), Code::Ok);
}

/// The lengths of the DATA frames that have arrived.
fn lengths(peer: &mut Peer) -> Vec<usize> {
    let frames = peer.arrived().into_iter();
    let data = frames.filter(|frame| frame.kind == kind::DATA);
    data.map(|frame| frame.payload.len()).collect()
}

pub(crate) async fn an_upload_stalls_at_the_window_of_the_peer<S: Stack>() {
    let (client, mut wire) = dial::<S>();
    let (body, taken) = Endless::body();
    let call = client.start(request("/test.Echo/Upload", body));
    let mut peer = wire.accept().await;
    let stream = peer.request().await;
    quiet().await;
    let received = lengths(&mut peer);
    assert_eq!(received.iter().sum::<usize>(), WINDOW);
    assert!(received.iter().all(|length| *length <= 16 << 10));
    let held = taken.load(Ordering::Relaxed) - WINDOW;
    assert!(held <= 2 * CHUNK, "{held} bytes wait in memory");

    peer.window(0, 100_000);
    peer.window(stream, 30_000);
    quiet().await;
    assert_eq!(lengths(&mut peer).iter().sum::<usize>(), 30_000);
    let held = taken.load(Ordering::Relaxed) - WINDOW - 30_000;
    assert!(held <= 2 * CHUNK, "{held} bytes wait in memory");
    assert!(!call.is_finished());
}

pub(crate) async fn a_larger_initial_window_lets_a_stalled_upload_go_on<S: Stack>() {
    let (client, mut wire) = dial::<S>();
    let (body, _taken) = Endless::body();
    let _call = client.start(request("/test.Echo/Upload", body));
    let mut peer = wire.accept().await;
    peer.request().await;
    peer.window(0, 100_000);
    quiet().await;
    assert_eq!(lengths(&mut peer).iter().sum::<usize>(), WINDOW);
    peer.settings(&[(setting::INITIAL_WINDOW_SIZE, 65_535 + 20_000)]);
    quiet().await;
    assert_eq!(lengths(&mut peer).iter().sum::<usize>(), 20_000);
}

pub(crate) async fn a_response_that_is_not_read_stalls_the_peer<S: Stack>() {
    const ALL: usize = 4 * MEBIBYTE;
    let (client, mut wire) = dial::<S>();
    let call = client.open(unary());
    let sent = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&sent);
    served::serve(wire.io().await, move |_, mut respond| {
        let count = Arc::clone(&count);
        async move {
            let mut stream = respond.send_response(served::head(), false).unwrap();
            for _ in 0..ALL / CHUNK {
                let chunk = Bytes::from_static(&[0; CHUNK]);
                served::send(&mut stream, chunk).await.unwrap();
                count.fetch_add(CHUNK, Ordering::Relaxed);
            }
            stream.send_trailers(served::trailers()).unwrap();
        }
    });
    let response = call.await.unwrap().unwrap();
    quiet().await;
    let unread = sent.load(Ordering::Relaxed);
    assert!((WINDOW - CHUNK..=MEBIBYTE).contains(&unread), "{unread}");
    let answer = read(response).await.unwrap();
    assert_eq!((answer.data.len(), answer.code()), (ALL, Code::Ok));
}

pub(crate) async fn a_response_that_is_not_read_leaves_room_for_other_calls<S: Stack>() {
    let (client, mut wire) = dial::<S>();
    let unread = client.open(unary());
    served::serve(wire.io().await, |request, mut respond| async move {
        let size = match request.uri().path() {
            "/test.Echo/Unary" => 2 * MEBIBYTE,
            _ => 200 << 10,
        };
        let mut stream = respond.send_response(served::head(), false).unwrap();
        if served::send(&mut stream, vec![0; size].into())
            .await
            .is_ok()
        {
            let _ = stream.send_trailers(served::trailers());
        }
    });
    let unread = unread.await.unwrap().unwrap();
    quiet().await;
    let other = client.call(request("/test.Echo/Other", Body::empty()));
    let other = other.await.unwrap();
    assert_eq!((other.data.len(), other.code()), (200 << 10, Code::Ok));
    drop(unread);
}

pub(crate) async fn unread_bytes_of_cancelled_calls_are_given_back<S: Stack>() {
    let (client, mut wire) = dial::<S>();
    let accept = tokio::spawn(async move { (wire.accept().await, wire) });
    let mut first = Some(client.start(unary()));
    let (mut peer, _wire) = accept.await.unwrap();
    // Twelve of these would fill the connection's window of a mebibyte.
    for _ in 0..16 {
        let call = match first.take() {
            Some(call) => call,
            None => client.start(unary()),
        };
        let stream = peer.whole_request().await;
        peer.head(stream);
        for _ in 0..6 {
            peer.data(stream, &[0; 16 << 10]);
        }
        quiet().await;
        call.abort();
        assert_eq!(peer.reset_of(stream).await, error::CANCEL);
    }
    let call = client.start(unary());
    let stream = peer.whole_request().await;
    peer.answer(stream);
    assert_eq!(call.await.unwrap().unwrap().code(), Code::Ok);
}

pub(crate) async fn an_answer_before_the_end_of_the_upload_stands<S: Stack>() {
    let (client, mut wire) = dial::<S>();
    let (sender, body) = upload();
    let call = client.start(request("/test.Echo/Upload", body));
    let mut peer = wire.accept().await;
    let stream = peer.request().await;
    let early = [(":status", "200"), ("grpc-status", "8")];
    peer.headers(stream, flag::END_STREAM, &early);
    peer.reset(stream, error::NO_ERROR);
    let answer = call.await.unwrap().unwrap();
    assert_eq!(answer.code(), Code::ResourceExhausted);
    drop(sender);
}

pub(crate) async fn an_upload_ends_once_its_answer_is_complete<S: Stack>() {
    let (client, mut wire) = dial::<S>();
    let (body, taken) = Endless::body();
    let call = client.start(request("/test.Echo/Upload", body));
    let mut peer = wire.accept().await;
    let stream = peer.request().await;
    quiet().await;
    // The peer leaves it to the client to free the stream.
    let early = [(":status", "200"), ("grpc-status", "8")];
    peer.headers(stream, flag::END_STREAM, &early);
    let answer = call.await.unwrap().unwrap();
    assert_eq!(answer.code(), Code::ResourceExhausted);
    quiet().await;
    let resets = peer.arrived().into_iter();
    let resets = resets.filter(|frame| frame.kind == kind::RST_STREAM);
    let codes: Vec<_> = resets.map(|frame| frame.error_code()).collect();
    assert!(
        matches!(codes[..], [error::NO_ERROR | error::CANCEL]),
        "resets: {codes:?}"
    );
    assert_eq!(Arc::strong_count(&taken), 1, "the body is still held");
}

pub(crate) async fn a_failing_upload_resets_its_stream_alone<S: Stack>() {
    let (client, mut wire) = dial::<S>();
    let frames = [
        Ok(BodyFrame::data(Bytes::from_static(MESSAGE))),
        Err(Status::internal("cannot encode the message")),
    ];
    let body = Body::new(StreamBody::new(stream::iter(frames)));
    let failing = client.start(request("/test.Echo/Upload", body));
    let mut peer = wire.accept().await;
    let stream = peer.request().await;
    assert_ne!(peer.reset_of(stream).await, error::NO_ERROR);
    assert_eq!(failing.await.unwrap().unwrap_err().code(), Code::Internal);
    let next = client.start(unary());
    let stream = peer.whole_request().await;
    peer.answer(stream);
    assert_eq!(next.await.unwrap().unwrap().code(), Code::Ok);
    assert_eq!(wire.attempts().await, 1);
}

pub(crate) async fn a_peer_that_exceeds_the_window_fails_the_call<S: Stack>() {
    let (client, mut wire) = dial::<S>();
    let call = client.open(unary());
    let mut peer = wire.accept().await;
    let stream = peer.whole_request().await;
    peer.head(stream);
    let response = call.await.unwrap().unwrap();
    for _ in 0..MEBIBYTE / (16 << 10) {
        let data = vec![0; 16 << 10];
        peer.send(&Frame::new(kind::DATA, 0, stream, data));
    }
    quiet().await;
    let status = read(response).await.unwrap_err();
    assert_eq!(status.code(), Code::Internal, "{status}");
    let next = client.start(unary());
    let stream = peer.whole_request().await;
    peer.answer(stream);
    assert_eq!(next.await.unwrap().unwrap().code(), Code::Ok);
}
