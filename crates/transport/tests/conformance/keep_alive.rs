//! PING: a peer that hangs is given up, one that is slow is not.

use std::time::Duration;

use tokio::time::Instant;
use tonic::Code;

use crate::client::{dial, read, unary};
use crate::peer::{MESSAGE, Peer};
use crate::stack::Stack;

/// The interval and the timeout of PINGs.
const GIVEN_UP: Duration = Duration::from_secs(5 + 2);
const SLACK: Duration = Duration::from_millis(50);

pub(crate) async fn a_peer_that_hangs_is_given_up_after_interval_and_timeout<S: Stack>() {
    let (client, mut wire) = dial::<S>();
    let call = client.start(unary());
    let mut peer = Peer::silent(wire.io().await);
    peer.whole_request().await;
    let begun = Instant::now();
    let status = call.await.unwrap().unwrap_err();
    assert_eq!(status.code(), Code::Unavailable, "{status}");
    let took = begun.elapsed();
    assert!(took <= GIVEN_UP + SLACK, "{took:?}");
    assert!(took > GIVEN_UP / 2, "{took:?}");
}

pub(crate) async fn a_peer_that_hangs_during_the_response_is_given_up<S: Stack>() {
    let (client, mut wire) = dial::<S>();
    let call = client.open(unary());
    let mut peer = Peer::silent(wire.io().await);
    let stream = peer.whole_request().await;
    peer.head(stream);
    peer.data(stream, MESSAGE);
    let response = call.await.unwrap().unwrap();
    let begun = Instant::now();
    let status = read(response).await.unwrap_err();
    assert_eq!(status.code(), Code::Unavailable, "{status}");
    assert!(begun.elapsed() <= GIVEN_UP + SLACK);
}

pub(crate) async fn a_connection_that_hangs_while_idle_is_replaced<S: Stack>() {
    let (client, mut wire) = dial::<S>();
    let call = client.start(unary());
    let mut silent = Peer::silent(wire.io().await);
    let stream = silent.whole_request().await;
    silent.answer(stream);
    assert_eq!(call.await.unwrap().unwrap().code(), Code::Ok);
    let begun = Instant::now();
    assert_eq!(silent.closed().await, [0_u32; 0]);
    assert!(begun.elapsed() <= GIVEN_UP + SLACK);
    let call = client.start(unary());
    let mut next = wire.accept().await;
    let stream = next.whole_request().await;
    next.answer(stream);
    assert_eq!(call.await.unwrap().unwrap().code(), Code::Ok);
    assert_eq!(wire.attempts().await, 2);
}

pub(crate) async fn a_slow_peer_that_answers_pings_is_kept<S: Stack>() {
    let (client, mut wire) = dial::<S>();
    let call = client.start(unary());
    let mut peer = wire.accept().await;
    let stream = peer.whole_request().await;
    tokio::time::sleep(Duration::from_secs(600)).await;
    peer.answer(stream);
    assert_eq!(call.await.unwrap().unwrap().code(), Code::Ok);
    tokio::time::sleep(Duration::from_secs(600)).await;
    let call = client.start(unary());
    let stream = peer.whole_request().await;
    peer.answer(stream);
    assert_eq!(call.await.unwrap().unwrap().code(), Code::Ok);
    assert_eq!(wire.attempts().await, 1);
}

pub(crate) async fn a_ping_of_the_peer_is_answered<S: Stack>() {
    let (client, mut wire) = dial::<S>();
    let call = client.start(unary());
    let mut peer = wire.accept().await;
    let stream = peer.whole_request().await;
    peer.ping().await;
    peer.answer(stream);
    assert_eq!(call.await.unwrap().unwrap().code(), Code::Ok);
}
