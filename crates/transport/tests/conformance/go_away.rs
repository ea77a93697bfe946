//! GOAWAY: a peer that shuts down, gracefully or not.

use tonic::Code;

use crate::client::{Call, Client, code, dial, next_connection, unary};
use crate::frame::error;
use crate::peer::Peer;
use crate::stack::Stack;
use crate::wire::Wire;

/// A peer with two open streams, and the calls that wait for them.
async fn two_open<S: Stack>() -> (Client<S>, Wire, Peer, [(u32, Call); 2]) {
    let (client, mut wire) = dial::<S>();
    let first = client.start(unary());
    let mut peer = wire.accept().await;
    let one = peer.whole_request().await;
    let second = client.start(unary());
    let other = peer.whole_request().await;
    (client, wire, peer, [(one, first), (other, second)])
}

pub(crate) async fn streams_up_to_the_last_one_complete_and_new_calls_connect_again<S: Stack>() {
    let (client, mut wire, mut peer, [(one, first), (other, second)]) = two_open::<S>().await;
    peer.shut_down(other);
    peer.ping().await;
    let mut third = client.start(unary());
    let mut next = next_connection(&mut wire, &mut third).await;
    let stream = next.whole_request().await;
    next.answer(stream);
    assert_eq!(third.await.unwrap().unwrap().code(), Code::Ok);
    peer.answer(one);
    peer.answer(other);
    for call in [first, second] {
        assert_eq!(call.await.unwrap().unwrap().code(), Code::Ok);
    }
    assert_eq!(peer.closed().await, [0_u32; 0]);
    assert_eq!(wire.attempts().await, 2);
}

pub(crate) async fn a_graceful_shutdown_in_two_steps_fails_no_call<S: Stack>() {
    let (client, mut wire, mut peer, [(one, first), (other, second)]) = two_open::<S>().await;
    peer.shut_down(u32::MAX >> 1);
    peer.ping().await;
    peer.shut_down(other);
    peer.answer(one);
    let mut third = client.start(unary());
    let mut next = next_connection(&mut wire, &mut third).await;
    let stream = next.whole_request().await;
    next.answer(stream);
    peer.answer(other);
    for call in [first, second, third] {
        assert_eq!(call.await.unwrap().unwrap().code(), Code::Ok);
    }
    assert_eq!(peer.closed().await, [0_u32; 0]);
}

pub(crate) async fn a_stream_above_the_last_one_is_unavailable_or_sent_again<S: Stack>() {
    let (_client, mut wire, mut peer, [(one, first), (_, second)]) = two_open::<S>().await;
    peer.shut_down(one);
    peer.answer(one);
    assert_eq!(first.await.unwrap().unwrap().code(), Code::Ok);
    let next = tokio::spawn(async move {
        let mut next = wire.accept().await;
        let stream = next.whole_request().await;
        next.answer(stream);
        next
    });
    let code = code(second.await.unwrap());
    assert!(matches!(code, Code::Ok | Code::Unavailable), "{code:?}");
    next.abort();
    peer.closed().await;
}

pub(crate) async fn a_stream_above_the_last_one_is_sent_again_once<S: Stack>() {
    let (_client, mut wire, peer, [(one, first), (_, mut second)]) = two_open::<S>().await;
    peer.shut_down(one);
    let mut next = next_connection(&mut wire, &mut second).await;
    next.whole_request().await;
    next.shut_down(0);
    let status = second.await.unwrap().unwrap_err();
    assert_eq!(status.code(), Code::Unavailable, "{status}");
    assert_eq!(wire.attempts().await, 2);
    peer.answer(one);
    assert_eq!(first.await.unwrap().unwrap().code(), Code::Ok);
}

pub(crate) async fn an_error_of_the_connection_is_unavailable_to_its_calls<S: Stack>() {
    for code in [error::PROTOCOL_ERROR, error::ENHANCE_YOUR_CALM] {
        let (client, mut wire, peer, calls) = two_open::<S>().await;
        peer.go_away(0, code);
        drop(peer);
        for (_, call) in calls {
            let status = call.await.unwrap().unwrap_err();
            assert_eq!(status.code(), Code::Unavailable, "{status}");
        }
        let mut call = client.start(unary());
        let mut next = next_connection(&mut wire, &mut call).await;
        let stream = next.whole_request().await;
        next.answer(stream);
        assert_eq!(call.await.unwrap().unwrap().code(), Code::Ok);
    }
}
