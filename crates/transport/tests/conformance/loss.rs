//! Connections that are lost, and requests that they had not sent.

use tokio::time::Instant;
use tonic::Code;

use crate::client::{Client, code, dial, next_connection, quiet, read, unary};
use crate::frame::{error, kind};
use crate::peer::{MESSAGE, Peer};
use crate::stack::Stack;
use crate::wire::Wire;

pub(crate) async fn a_connection_lost_before_the_response_is_unavailable<S: Stack>() {
    let (client, mut wire) = dial::<S>();
    let call = client.start(unary());
    let mut peer = wire.accept().await;
    peer.whole_request().await;
    drop(peer);
    let status = call.await.unwrap().unwrap_err();
    assert_eq!(status.code(), Code::Unavailable, "{status}");
}

pub(crate) async fn a_connection_lost_before_the_request_was_read_is_unavailable<S: Stack>() {
    let (client, mut wire) = dial::<S>();
    let call = client.start(unary());
    let first = wire.io().await;
    let next = tokio::spawn(async move {
        while wire.attempts().await < 3 {
            drop(wire.io().await);
        }
    });
    // Over TCP the kernel resets a connection with unread bytes.
    drop(first);
    let status = call.await.unwrap().unwrap_err();
    assert_eq!(status.code(), Code::Unavailable, "{status}");
    next.abort();
}

pub(crate) async fn a_connection_lost_during_the_response_is_unavailable<S: Stack>() {
    let (client, mut wire) = dial::<S>();
    let call = client.open(unary());
    let mut peer = wire.accept().await;
    let stream = peer.whole_request().await;
    peer.head(stream);
    peer.data(stream, MESSAGE);
    let response = call.await.unwrap().unwrap();
    drop(peer);
    let status = read(response).await.unwrap_err();
    assert_eq!(status.code(), Code::Unavailable, "{status}");
}

pub(crate) async fn what_arrived_before_the_loss_can_be_read<S: Stack>() {
    use http_body_util::BodyExt;
    let (client, mut wire) = dial::<S>();
    let call = client.open(unary());
    let mut peer = wire.accept().await;
    let stream = peer.whole_request().await;
    peer.head(stream);
    peer.data(stream, MESSAGE);
    let mut body = call.await.unwrap().unwrap().into_body();
    let frame = body.frame().await.unwrap().map_err(Into::into).unwrap();
    assert_eq!(frame.into_data().unwrap(), MESSAGE);
    drop(peer);
    assert!(body.frame().await.unwrap().is_err());
}

pub(crate) async fn a_loss_fails_every_call_of_the_connection<S: Stack>() {
    let (client, mut wire) = dial::<S>();
    let calls: Vec<_> = (0..50).map(|_| client.start(unary())).collect();
    let mut peer = wire.accept().await;
    for _ in &calls {
        peer.whole_request().await;
    }
    drop(peer);
    for call in calls {
        assert_eq!(call.await.unwrap().unwrap_err().code(), Code::Unavailable);
    }
    assert_eq!(wire.attempts().await, 1);
}

/// Answers one call on the next connection.
async fn answered<S: Stack>(client: &Client<S>, wire: &mut Wire) -> Peer {
    let mut call = client.start(unary());
    let mut peer = next_connection(wire, &mut call).await;
    let stream = peer.whole_request().await;
    peer.answer(stream);
    assert_eq!(call.await.unwrap().unwrap().code(), Code::Ok);
    peer
}

pub(crate) async fn the_next_call_after_a_loss_connects_again_at_once<S: Stack>() {
    let (client, mut wire) = dial::<S>();
    let begun = Instant::now();
    for _ in 0..3 {
        drop(answered(&client, &mut wire).await);
    }
    assert_eq!(wire.attempts().await, 3);
    // Paused time: nothing waited.
    assert_eq!(begun.elapsed().as_millis(), 0);
}

pub(crate) async fn an_idle_loss_is_not_seen_by_the_next_call<S: Stack>() {
    let (client, mut wire) = dial::<S>();
    drop(answered(&client, &mut wire).await);
    quiet().await;
    answered(&client, &mut wire).await;
    assert_eq!(wire.attempts().await, 2);
}

pub(crate) async fn an_idle_connection_that_is_shut_down_is_replaced<S: Stack>() {
    let (client, mut wire) = dial::<S>();
    let mut first = answered(&client, &mut wire).await;
    first.shut_down(1);
    first.ping().await;
    answered(&client, &mut wire).await;
    assert_eq!(first.closed().await, [0_u32; 0]);
    assert_eq!(wire.attempts().await, 2);
}

pub(crate) async fn a_request_that_was_not_sent_goes_over_the_next_connection<S: Stack>() {
    let (client, mut wire) = dial::<S>();
    let open = client.start(unary());
    let mut first = wire.accept().await;
    let stream = first.whole_request().await;
    // The open stream keeps the connection, which takes no other.
    first.shut_down(stream);
    first.ping().await;
    let mut call = client.start(unary());
    let mut second = next_connection(&mut wire, &mut call).await;
    let again = second.request().await;
    let data = second.next().await.unwrap();
    assert_eq!((data.kind, data.stream), (kind::DATA, again));
    assert_eq!(data.payload, MESSAGE);
    second.answer(again);
    assert_eq!(call.await.unwrap().unwrap().code(), Code::Ok);
    first.answer(stream);
    assert_eq!(open.await.unwrap().unwrap().code(), Code::Ok);
    assert_eq!(first.closed().await, [0_u32; 0]);
    assert_eq!(wire.attempts().await, 2);
}

pub(crate) async fn a_request_is_sent_again_once_and_not_twice<S: Stack>() {
    let (client, mut wire) = dial::<S>();
    let mut call = client.start(unary());
    let mut peers = Vec::new();
    let status = loop {
        tokio::select! {
            peer = wire.accept() => {
                // GOAWAY before the peer has read anything: it takes no request.
                peer.shut_down(0);
                peers.push(peer);
                assert!(peers.len() <= 2, "sent again more than once");
            }
            ended = &mut call => break ended.unwrap().unwrap_err(),
        }
    };
    assert_eq!(peers.len(), 2, "connections");
    assert_eq!(status.code(), Code::Unavailable, "{status}");
}

pub(crate) async fn a_refused_stream_is_sent_again_once<S: Stack>() {
    let (client, mut wire) = dial::<S>();
    let call = client.start(unary());
    let mut peer = wire.accept().await;
    let stream = peer.whole_request().await;
    peer.reset(stream, error::REFUSED_STREAM);
    quiet().await;
    if call.is_finished() {
        panic!("not sent again: {:?}", code(call.await.unwrap()));
    }
    let again = peer.whole_request().await;
    assert!(again > stream);
    peer.reset(again, error::REFUSED_STREAM);
    let status = call.await.unwrap().unwrap_err();
    assert_eq!(status.code(), Code::Unavailable, "{status}");
}
