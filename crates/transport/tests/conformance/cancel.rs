//! Calls that their caller drops.

use std::sync::Arc;
use std::time::Duration;

use http_body_util::BodyExt;
use tonic::Code;

use crate::client::{Endless, dial, quiet, request, unary, upload};
use crate::frame::error;
use crate::peer::MESSAGE;
use crate::stack::Stack;

pub(crate) async fn a_dropped_call_is_cancelled_at_the_peer<S: Stack>() {
    let (client, mut wire) = dial::<S>();
    let kept = client.start(unary());
    let mut peer = wire.accept().await;
    let other = peer.whole_request().await;
    let dropped = client.start(unary());
    let stream = peer.whole_request().await;
    dropped.abort();
    assert_eq!(peer.reset_of(stream).await, error::CANCEL);
    peer.answer(other);
    assert_eq!(kept.await.unwrap().unwrap().code(), Code::Ok);
    assert_eq!(wire.attempts().await, 1);
}

pub(crate) async fn a_dropped_response_body_is_cancelled_at_the_peer<S: Stack>() {
    let (client, mut wire) = dial::<S>();
    let kept = client.start(unary());
    let mut peer = wire.accept().await;
    let other = peer.whole_request().await;
    let call = client.open(unary());
    let stream = peer.whole_request().await;
    peer.head(stream);
    peer.data(stream, MESSAGE);
    let mut body = call.await.unwrap().unwrap().into_body();
    assert!(body.frame().await.unwrap().is_ok());
    drop(body);
    assert_eq!(peer.reset_of(stream).await, error::CANCEL);
    peer.answer(other);
    assert_eq!(kept.await.unwrap().unwrap().code(), Code::Ok);
    assert_eq!(wire.attempts().await, 1);
}

pub(crate) async fn a_dropped_call_takes_its_stalled_upload_with_it<S: Stack>() {
    let (client, mut wire) = dial::<S>();
    let (body, taken) = Endless::body();
    let call = client.start(request("/test.Echo/Upload", body));
    let mut peer = wire.accept().await;
    let stream = peer.request().await;
    quiet().await;
    call.abort();
    assert_eq!(peer.reset_of(stream).await, error::CANCEL);
    quiet().await;
    assert_eq!(Arc::strong_count(&taken), 1, "the body is still held");
}

pub(crate) async fn a_dropped_response_body_takes_its_upload_with_it<S: Stack>() {
    let (client, mut wire) = dial::<S>();
    let (sender, body) = upload();
    let call = client.open(request("/test.Echo/Bidi", body));
    let mut peer = wire.accept().await;
    let stream = peer.request().await;
    peer.head(stream);
    let response = call.await.unwrap().unwrap();
    drop(response);
    quiet().await;
    assert!(sender.is_closed(), "the body is still held");
    assert_eq!(peer.reset_of(stream).await, error::CANCEL);
}

pub(crate) async fn a_reset_by_the_peer_ends_the_upload<S: Stack>() {
    let (client, mut wire) = dial::<S>();
    let (body, taken) = Endless::body();
    let call = client.start(request("/test.Echo/Upload", body));
    let mut peer = wire.accept().await;
    let stream = peer.request().await;
    quiet().await;
    peer.reset(stream, error::CANCEL);
    assert_eq!(call.await.unwrap().unwrap_err().code(), Code::Cancelled);
    quiet().await;
    assert_eq!(Arc::strong_count(&taken), 1, "the body is still held");
}

pub(crate) async fn late_answers_to_cancelled_calls_are_ignored<S: Stack>() {
    let (client, mut wire) = dial::<S>();
    let kept = client.start(unary());
    let mut peer = wire.accept().await;
    let other = peer.whole_request().await;
    // More than a peer or a client may count as abuse in one of its limits.
    for _ in 0..20 {
        let calls: Vec<_> = (0..100).map(|_| client.start(unary())).collect();
        let mut streams = Vec::new();
        for _ in &calls {
            streams.push(peer.whole_request().await);
        }
        calls.iter().for_each(tokio::task::JoinHandle::abort);
        for stream in streams {
            peer.reset_of(stream).await;
            peer.answer(stream);
        }
    }
    peer.ping().await;
    peer.answer(other);
    assert_eq!(kept.await.unwrap().unwrap().code(), Code::Ok);
    assert_eq!(wire.attempts().await, 1);
}

pub(crate) async fn an_attempt_to_connect_outlives_the_call_that_began_it<S: Stack>() {
    let (client, mut wire) = dial::<S>();
    let impatient = client.start(unary());
    let dial = wire.dial().await;
    let patient = client.start(unary());
    tokio::time::sleep(Duration::from_millis(100)).await;
    impatient.abort();
    tokio::time::sleep(Duration::from_millis(100)).await;
    let mut peer = crate::peer::Peer::new(dial.accept(), &[]);
    let stream = peer.whole_request().await;
    peer.answer(stream);
    assert_eq!(patient.await.unwrap().unwrap().code(), Code::Ok);
    assert_eq!(wire.attempts().await, 1);
    quiet().await;
    assert_eq!(peer.arrived().len(), 0, "the dropped call was sent");
}
