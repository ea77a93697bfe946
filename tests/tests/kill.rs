//! SIGKILL at any moment loses no acknowledged heartbeat.
#![expect(clippy::unwrap_used, reason = "tests fail by panicking")]

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::{Arc, Mutex};

use rustix::process::Signal;
use sqlx::sqlite::SqliteConnectOptions;
use sqlx::{ConnectOptions, Connection};
use tokio::task::JoinSet;
use tonic::transport::Channel;
use vitalmesh_proto::heartbeat::v1::BeatHeartRequest;
use vitalmesh_proto::heartbeat::v1::heartbeat_service_client::HeartbeatServiceClient;
use vitalmesh_tests::{Program, channel, eventually};

const ROUNDS: u32 = 20;
const SENDERS: u32 = 4;
/// Concurrent calls of each sender.
const CONCURRENT_CALLS: u64 = 8;
/// Beats of a round that are acknowledged before the kill, at most.
const MAX_BEFORE_KILL: usize = 500;

/// An instance and a sequence number.
type Beat = (String, i64);
type Acknowledged = Arc<Mutex<BTreeSet<Beat>>>;

/// Sends beats until the edge is killed.
async fn send_until_killed(address: SocketAddr, instance: String, acknowledged: Acknowledged) {
    let channel = channel(address);
    let mut calls = JoinSet::new();
    for sequence in 1.. {
        calls.spawn(beat(channel.clone(), instance.clone(), sequence));
        if sequence < CONCURRENT_CALLS {
            continue;
        }
        match calls.join_next().await.unwrap().unwrap() {
            Some(beat) => acknowledged.lock().unwrap().insert(beat),
            None => break,
        };
    }
    // Calls in flight may have been acknowledged, too.
    while let Some(ended) = calls.join_next().await {
        acknowledged.lock().unwrap().extend(ended.unwrap());
    }
}

async fn beat(channel: Channel, instance: String, sequence: u64) -> Option<Beat> {
    let beat = BeatHeartRequest {
        // A service of its own for each round: 64 instances of one have a place.
        service_name: instance.split("-sender").next().unwrap().to_owned(),
        instance: instance.clone(),
        sequence,
        ..BeatHeartRequest::default()
    };
    let response = HeartbeatServiceClient::new(channel).beat_heart(beat).await;
    response
        .is_ok()
        .then(|| (instance, i64::try_from(sequence).unwrap()))
}

/// Starts an edge, sends it beats, and kills it.
async fn round(number: u32, data: &Path, acknowledged: &Acknowledged) {
    let edge = Program::service("edge", &["--data-dir", data.to_str().unwrap()]);
    let address = edge.address("grpc").await;
    // A random number of beats, so that the kill comes at any moment.
    let enough = acknowledged.lock().unwrap().len() + fastrand::usize(..MAX_BEFORE_KILL);
    let mut senders = JoinSet::new();
    for sender in 0..SENDERS {
        let instance = format!("round-{number}-sender-{sender}");
        senders.spawn(send_until_killed(
            address,
            instance,
            Arc::clone(acknowledged),
        ));
    }
    eventually("beats are acknowledged", async || {
        (acknowledged.lock().unwrap().len() > enough).then_some(())
    })
    .await;
    edge.signal(Signal::KILL);
    let (status, _) = edge.ended().await;
    assert_eq!(status.code(), None, "the edge was not killed");
    senders.join_all().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_acknowledged_beat_survives_twenty_kills() {
    let data = tempfile::tempdir().unwrap();
    let acknowledged = Acknowledged::default();
    for number in 0..ROUNDS {
        round(number, data.path(), &acknowledged).await;
    }

    // Not read-only: the write-ahead log of the last edge has to be recovered.
    let database = SqliteConnectOptions::new().filename(data.path().join("heartbeats.db"));
    let mut database = database.connect().await.unwrap();
    let check: Vec<String> = sqlx::query_scalar("PRAGMA integrity_check")
        .fetch_all(&mut database)
        .await
        .unwrap();
    assert_eq!(check, ["ok"]);
    let stored: Vec<Beat> = sqlx::query_as("SELECT instance, sequence FROM beats")
        .fetch_all(&mut database)
        .await
        .unwrap();
    database.close().await.unwrap();

    let distinct: BTreeSet<_> = stored.iter().cloned().collect();
    assert_eq!(distinct.len(), stored.len(), "a beat is stored twice");
    let acknowledged = acknowledged.lock().unwrap();
    let lost: Vec<_> = acknowledged.difference(&distinct).collect();
    assert_eq!(lost, Vec::<&Beat>::new());
    assert!(
        acknowledged.len() >= 1000,
        "only {} beats",
        acknowledged.len()
    );
    println!(
        "{} acknowledged, {} stored",
        acknowledged.len(),
        stored.len()
    );
}
