//! A mesh at rest, and the counts that calls add.

use std::collections::BTreeMap;

use vitalmesh_tests::{Mesh, Scrape, eventually_eq, scrape};

pub(crate) const REVERT: (&str, &str) =
    ("vitalmesh.revert_name.v1.RevertNameService", "RevertName");
pub(crate) const TIME: (&str, &str) = ("vitalmesh.time.v1.TimeService", "WhatTimeIs");
pub(crate) const BEAT: (&str, &str) = ("vitalmesh.heartbeat.v1.HeartbeatService", "BeatHeart");

pub(crate) type Moved = BTreeMap<String, f64>;

/// What `ok` successful calls and the failed calls of `faults` add to the counts of one side.
pub(crate) fn calls(
    side: &str,
    (service, method): (&str, &str),
    ok: u32,
    faults: &[(&str, u32)],
) -> Moved {
    let labels = format!("grpc_method=\"{method}\",grpc_service=\"{service}\",grpc_type=\"unary\"");
    let all = ok + faults.iter().map(|(_, count)| count).sum::<u32>();
    let (requests, responses) = match side {
        "server" => ("received", "sent"),
        _ => ("sent", "received"),
    };
    let mut moved = Moved::from([
        (format!("grpc_{side}_started_total{{{labels}}}"), all.into()),
        (
            format!("grpc_{side}_handling_seconds_count{{{labels}}}"),
            all.into(),
        ),
        (
            format!("grpc_{side}_msg_{requests}_total{{{labels}}}"),
            all.into(),
        ),
        (
            format!("grpc_{side}_msg_{responses}_total{{{labels}}}"),
            ok.into(),
        ),
    ]);
    for (code, count) in faults.iter().chain(&[("OK", ok)]) {
        let series = format!("grpc_{side}_handled_total{{grpc_code=\"{code}\",{labels}}}");
        moved.insert(series, (*count).into());
    }
    moved.retain(|_, count| *count != 0.0);
    moved
}

pub(crate) fn requests(route: &str, method: &str, statuses: &[(u16, u32)]) -> Moved {
    let all: u32 = statuses.iter().map(|(_, count)| count).sum();
    let series = format!(
        "http_server_request_duration_seconds_count{{method=\"{method}\",route=\"{route}\"}}"
    );
    let counted = |(status, count): &(u16, u32)| {
        let labels = format!("method=\"{method}\",route=\"{route}\",status=\"{status}\"");
        (
            format!("http_server_requests_total{{{labels}}}"),
            f64::from(*count),
        )
    };
    let mut moved: Moved = statuses.iter().map(counted).collect();
    moved.insert(series, all.into());
    moved
}

pub(crate) fn sum(parts: impl IntoIterator<Item = Moved>) -> Moved {
    parts.into_iter().flatten().collect()
}

pub(crate) async fn scrapes(mesh: &Mesh) -> [Scrape; 3] {
    [
        scrape(mesh.edge.addresses().scrape).await,
        scrape(mesh.revert_name.addresses().scrape).await,
        scrape(mesh.time.addresses().scrape).await,
    ]
}

/// A mesh whose first heartbeats both ends have counted.
pub(crate) async fn at_rest() -> (Mesh, [Scrape; 3]) {
    let mesh = Mesh::start().await;
    let nothing = Scrape::default();
    let beats = [
        calls("server", BEAT, 2, &[]),
        calls("client", BEAT, 1, &[]),
        calls("client", BEAT, 1, &[]),
    ];
    eventually_eq(beats, async || {
        scrapes(&mesh).await.map(|page| page.calls_since(&nothing))
    })
    .await;
    let before = scrapes(&mesh).await;
    (mesh, before)
}

pub(crate) async fn moved(mesh: &Mesh, before: &[Scrape; 3]) -> [Moved; 3] {
    let [edge, revert_name, time] = scrapes(mesh).await;
    [
        edge.calls_since(&before[0]),
        revert_name.calls_since(&before[1]),
        time.calls_since(&before[2]),
    ]
}
