//! Many calls on one connection.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::sync::Semaphore;
use tonic::Code;
use tonic::body::Body;

use crate::client::{Client, code, dial, quiet, request, unary};
use crate::frame::{error, kind, setting};
use crate::peer::Peer;
use crate::served;
use crate::stack::Stack;

pub(crate) async fn a_hundred_concurrent_calls_share_one_connection<S: Stack>() {
    let (client, mut wire) = dial::<S>();
    let calls: Vec<_> = (0..100).map(|_| client.start(unary())).collect();
    let all = Arc::new(Semaphore::new(0));
    let begun = Arc::new(AtomicUsize::new(0));
    served::serve(wire.io().await, move |request, respond| {
        if begun.fetch_add(1, Ordering::Relaxed) + 1 == 100 {
            all.add_permits(100);
        }
        let all = Arc::clone(&all);
        async move {
            let _all = all.acquire().await.unwrap();
            served::echo(request, respond).await;
        }
    });
    for call in calls {
        assert_eq!(call.await.unwrap().unwrap().code(), Code::Ok);
    }
    assert_eq!(wire.attempts().await, 1);
}

pub(crate) async fn calls_in_a_row_use_one_connection<S: Stack>() {
    let (client, mut wire) = dial::<S>();
    let accept = tokio::spawn(async move {
        served::serve(wire.io().await, served::echo);
        wire
    });
    for _ in 0..10 {
        assert_eq!(client.code().await, Code::Ok);
    }
    assert_eq!(accept.await.unwrap().attempts().await, 1);
}

/// A client whose peer allows `streams` concurrent streams, which it knows: a call has succeeded.
async fn limited<S: Stack>(streams: u32) -> (Client<S>, Peer) {
    let (client, mut wire) = dial::<S>();
    let call = client.start(unary());
    let limit = [(setting::MAX_CONCURRENT_STREAMS, streams)];
    let mut peer = Peer::new(wire.io().await, &limit);
    let stream = peer.whole_request().await;
    peer.answer(stream);
    assert_eq!(call.await.unwrap().unwrap().code(), Code::Ok);
    (client, peer)
}

/// The streams that the client has opened since the last look.
fn opened(peer: &mut Peer) -> Vec<u32> {
    let frames = peer.arrived().into_iter();
    let heads = frames.filter(|frame| frame.kind == kind::HEADERS);
    heads.map(|frame| frame.stream).collect()
}

pub(crate) async fn calls_above_the_limit_of_the_peer_wait<S: Stack>() {
    let (client, mut peer) = limited::<S>(2).await;
    let calls: Vec<_> = (0..6).map(|_| client.start(unary())).collect();
    let mut open = Vec::new();
    for answered in 0..6 {
        quiet().await;
        open.extend(opened(&mut peer));
        assert_eq!(open.len(), 2.min(6 - answered), "open after {answered}");
        peer.answer(open.remove(0));
    }
    for call in calls {
        assert_eq!(call.await.unwrap().unwrap().code(), Code::Ok);
    }
}

pub(crate) async fn a_raised_limit_lets_waiting_calls_go<S: Stack>() {
    let (client, mut peer) = limited::<S>(1).await;
    let calls: Vec<_> = (0..3).map(|_| client.start(unary())).collect();
    quiet().await;
    let mut open = opened(&mut peer);
    assert_eq!(open.len(), 1);
    peer.settings(&[(setting::MAX_CONCURRENT_STREAMS, 100)]);
    quiet().await;
    open.extend(opened(&mut peer));
    assert_eq!(open.len(), 3);
    for stream in open {
        peer.answer(stream);
    }
    for call in calls {
        assert_eq!(call.await.unwrap().unwrap().code(), Code::Ok);
    }
}

pub(crate) async fn a_call_that_stops_waiting_for_the_limit_is_not_run<S: Stack>() {
    let (client, mut wire) = dial::<S>();
    let gate = Arc::new(Semaphore::new(0));
    let warm = client.start(request("/warm", Body::empty()));
    let run = Arc::new(std::sync::Mutex::new(Vec::new()));
    let (held, ran) = (Arc::clone(&gate), Arc::clone(&run));
    served::serve_at_most(1, wire.io().await, move |request, mut respond| {
        let (held, ran) = (Arc::clone(&held), Arc::clone(&ran));
        async move {
            let path = request.uri().path().to_owned();
            let reset = std::future::poll_fn(|cx| respond.poll_reset(cx));
            if path != "/warm" {
                tokio::select! {
                    biased;
                    _ = reset => return,
                    permit = held.acquire() => permit.unwrap().forget(),
                }
            }
            ran.lock().unwrap().push(path);
            served::echo(request, respond).await;
        }
    });
    warm.await.unwrap().unwrap();
    let first = client.start(request("/first", Body::empty()));
    quiet().await;
    let second = client.start(request("/second", Body::empty()));
    let third = client.start(request("/third", Body::empty()));
    quiet().await;
    second.abort();
    quiet().await;
    gate.add_permits(1);
    assert_eq!(first.await.unwrap().unwrap().code(), Code::Ok);
    quiet().await;
    gate.add_permits(1);
    assert_eq!(third.await.unwrap().unwrap().code(), Code::Ok);
    assert_eq!(*run.lock().unwrap(), ["/warm", "/first", "/third"]);
}

pub(crate) async fn a_reset_stream_leaves_the_others_alone<S: Stack>() {
    let (client, mut wire) = dial::<S>();
    let first = client.start(unary());
    let second = client.start(unary());
    let mut peer = wire.accept().await;
    let (one, other) = (peer.whole_request().await, peer.whole_request().await);
    peer.reset(one, error::PROTOCOL_ERROR);
    peer.answer(other);
    let mut codes = [first.await, second.await].map(|ended| code(ended.unwrap()));
    codes.sort_by_key(|code| i32::from(*code));
    assert_eq!(codes, [Code::Ok, Code::Internal]);
    assert_eq!(wire.attempts().await, 1);
}

pub(crate) async fn the_connection_closes_with_the_last_handle_and_call<S: Stack>() {
    let (client, mut wire) = dial::<S>();
    let call = client.start(unary());
    let mut peer = wire.accept().await;
    let stream = peer.whole_request().await;
    peer.head(stream);
    drop(client);
    quiet().await;
    peer.data(stream, b"still");
    peer.trailers(stream, "0");
    assert_eq!(call.await.unwrap().unwrap().data, "still");
    assert_eq!(peer.closed().await, [0_u32; 0]);
}
