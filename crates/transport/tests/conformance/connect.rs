//! Attempts to connect: when they begin, how they fail, when the next one may begin.

use std::time::Duration;

use futures_util::future::join_all;
use tokio::io::AsyncReadExt;
use tokio::time::{Instant, sleep, timeout};
use tonic::Code;

use crate::client::{Client, dial, quiet, unary};
use crate::peer::Peer;
use crate::stack::Stack;
use crate::wire::Wire;

/// Refuses each attempt; returns when they began, once there was none for three seconds.
fn refuse_all(mut wire: Wire) -> tokio::task::JoinHandle<(Vec<Instant>, Wire)> {
    tokio::spawn(async move {
        let mut begun = Vec::new();
        while let Ok(dial) = timeout(Duration::from_secs(3), wire.dial()).await {
            begun.push(Instant::now());
            dial.refuse();
        }
        (begun, wire)
    })
}

async fn answered<S: Stack>(client: &Client<S>, peer: &mut Peer) {
    let call = client.start(unary());
    let stream = peer.whole_request().await;
    peer.answer(stream);
    assert_eq!(call.await.unwrap().unwrap().code(), Code::Ok);
}

pub(crate) async fn nothing_connects_before_the_first_call<S: Stack>() {
    let (client, mut wire) = dial::<S>();
    sleep(Duration::from_secs(60)).await;
    assert_eq!(wire.attempts().await, 0);
    let call = client.start(unary());
    let mut peer = wire.accept().await;
    let stream = peer.whole_request().await;
    peer.answer(stream);
    assert_eq!(call.await.unwrap().unwrap().code(), Code::Ok);
}

pub(crate) async fn a_refused_connection_is_unavailable_and_names_its_address<S: Stack>() {
    let (client, wire) = dial::<S>();
    let authority = wire.authority();
    let refusing = refuse_all(wire);
    let status = client.call(unary()).await.unwrap_err();
    assert_eq!(status.code(), Code::Unavailable, "{status}");
    let message = status.message();
    assert!(message.contains("refused"), "{message}");
    assert!(message.contains(&authority), "{message}");
    refusing.abort();
}

pub(crate) async fn an_attempt_ends_after_a_second_and_names_its_address<S: Stack>() {
    let (client, mut wire) = dial::<S>();
    let begun = Instant::now();
    let call = client.start(unary());
    let _held = wire.dial().await;
    let status = call.await.unwrap().unwrap_err();
    assert_eq!(begun.elapsed().as_millis() / 10, 100);
    assert_eq!(status.code(), Code::Unavailable, "{status}");
    let message = status.message();
    assert!(message.contains("timed out"), "{message}");
    assert!(message.contains(&wire.authority()), "{message}");
}

pub(crate) async fn a_peer_that_never_speaks_is_given_up<S: Stack>() {
    let (client, mut wire) = dial::<S>();
    let begun = Instant::now();
    let call = client.start(unary());
    let _mute = wire.io().await;
    let status = call.await.unwrap().unwrap_err();
    assert_eq!(status.code(), Code::Unavailable, "{status}");
    assert!(begun.elapsed() < Duration::from_millis(7_100));
}

pub(crate) async fn a_hundred_callers_share_one_attempt_and_its_failure<S: Stack>() {
    let (client, wire) = dial::<S>();
    let refusing = refuse_all(wire);
    let begun = Instant::now();
    for _ in 0..2 {
        let codes = join_all((0..100).map(|_| client.code())).await;
        assert_eq!(codes, [Code::Unavailable; 100]);
    }
    assert!(begun.elapsed() < Duration::from_millis(10));
    let (begun, _) = refusing.await.unwrap();
    assert_eq!(begun.len(), 1, "attempts");
}

pub(crate) async fn a_hundred_callers_share_one_attempt_and_its_connection<S: Stack>() {
    let (client, mut wire) = dial::<S>();
    let calls: Vec<_> = (0..100).map(|_| client.start(unary())).collect();
    let dial = wire.dial().await;
    quiet().await;
    crate::served::serve(dial.accept(), crate::served::echo);
    for call in calls {
        assert_eq!(call.await.unwrap().unwrap().code(), Code::Ok);
    }
    assert_eq!(wire.attempts().await, 1);
}

/// Calls every millisecond for five seconds; returns the pauses between attempts, in milliseconds.
async fn pauses<S: Stack>(client: &Client<S>, wire: Wire) -> (Vec<u128>, Wire) {
    let refusing = refuse_all(wire);
    for _ in 0..5_000 {
        assert_eq!(client.code().await, Code::Unavailable);
        sleep(Duration::from_millis(1)).await;
    }
    let (begun, wire) = refusing.await.unwrap();
    let pairs = begun.windows(2);
    let pauses = pairs.map(|pair| (pair[1] - pair[0]).as_millis());
    (pauses.collect(), wire)
}

pub(crate) async fn attempts_back_off_from_50_ms_to_a_second<S: Stack>() {
    let (client, wire) = dial::<S>();
    let (pauses, _) = pauses(&client, wire).await;
    let expected = [50, 100, 200, 400, 800, 1000, 1000].into_iter();
    for (n, (pause, most)) in pauses.iter().zip(expected).enumerate() {
        // A fifth of jitter at most; the next call is at most 2 ms later.
        let range = most * 4 / 5..=most + 2;
        assert!(range.contains(pause), "pause {n}: {pause} ms");
    }
    assert!((6..=9).contains(&pauses.len()), "{pauses:?}");
}

pub(crate) async fn a_connection_that_opens_resets_the_backoff<S: Stack>() {
    let (client, wire) = dial::<S>();
    let (before, mut wire) = pauses(&client, wire).await;
    assert!(before.len() < 10, "{} attempts", before.len());
    let call = client.start(unary());
    let mut peer = wire.accept().await;
    let stream = peer.whole_request().await;
    peer.answer(stream);
    assert_eq!(call.await.unwrap().unwrap().code(), Code::Ok);
    drop(peer);
    quiet().await;
    let (after, _) = pauses(&client, wire).await;
    assert!((40..=52).contains(&after[0]), "{after:?}");
}

pub(crate) async fn a_peer_that_comes_back_is_found_within_a_second<S: Stack>() {
    let (client, wire) = dial::<S>();
    let (_, mut wire) = pauses(&client, wire).await;
    let back = Instant::now();
    let accept = tokio::spawn(async move {
        crate::served::serve(wire.io().await, crate::served::echo);
    });
    while client.code().await != Code::Ok {
        sleep(Duration::from_millis(1)).await;
    }
    assert!(back.elapsed() <= Duration::from_millis(1_002));
    accept.await.unwrap();
}

pub(crate) async fn a_peer_that_accepts_and_closes_is_backed_off_from<S: Stack>() {
    let (client, mut wire) = dial::<S>();
    let closing = tokio::spawn(async move {
        while let Ok(mut io) = timeout(Duration::from_secs(3), wire.io()).await {
            io.read_exact(&mut [0; 24]).await.unwrap();
        }
        wire.attempts().await
    });
    for _ in 0..100 {
        assert_eq!(client.code().await, Code::Unavailable);
        sleep(Duration::from_millis(10)).await;
    }
    let attempts = closing.await.unwrap();
    assert!(attempts <= 20, "more than 20 connections in a second");
}

pub(crate) async fn calls_survive_a_restart_of_the_peer<S: Stack>() {
    let (client, mut wire) = dial::<S>();
    let accepting = tokio::spawn(async move {
        let mut peer = wire.accept().await;
        let stream = peer.whole_request().await;
        peer.answer(stream);
        (peer, wire)
    });
    assert_eq!(client.code().await, Code::Ok);
    let (peer, wire) = accepting.await.unwrap();
    drop(peer);
    quiet().await;
    let refusing = refuse_all(wire);
    assert_eq!(client.code().await, Code::Unavailable);
    let (_, mut wire) = refusing.await.unwrap();
    let call = client.start(unary());
    let mut peer = wire.accept().await;
    let stream = peer.whole_request().await;
    peer.answer(stream);
    assert_eq!(call.await.unwrap().unwrap().code(), Code::Ok);
    answered(&client, &mut peer).await;
}
