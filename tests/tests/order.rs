//! Services that start and stop in any order and under load.
#![expect(clippy::unwrap_used, reason = "tests fail by panicking")]

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::time::{Instant, interval};
use vitalmesh_chassis::Running;
use vitalmesh_tests::{Mesh, edge, eventually, free_address, get, revert_name, send, time, within};

/// How long the edge may take to reconnect to a leaf.
const RECOVERY: Duration = Duration::from_secs(2);

async fn edge_of(data: &tempfile::TempDir, revert_name: SocketAddr, time: SocketAddr) -> Running {
    let revert_name = format!("http://{revert_name}");
    let time = format!("http://{time}");
    let flags = ["--revert-name-url", &revert_name, "--time-url", &time];
    edge(data.path(), &flags).start().await.unwrap()
}

#[tokio::test]
async fn the_edge_starts_before_its_leaves_and_connects_when_they_start() {
    let data = tempfile::tempdir().unwrap();
    let (to_revert_name, to_time) = (free_address(), free_address());
    let edge = edge_of(&data, to_revert_name, to_time).await;
    let http = edge.addresses().http.unwrap();
    assert_eq!(get(edge.addresses().scrape, "/readyz").await.status, 200);

    for _ in 0..3 {
        let (response, took) = within(RECOVERY, get(http, "/proxy/Ana")).await;
        assert_eq!(response.status, 503, "{}", response.body);
        assert_eq!(response.header("retry-after"), "1");
        assert_eq!(response.json()["grpc_code"], "Unavailable");
        assert!(took < Duration::from_millis(500), "{took:?}");
    }

    let flags = |address: SocketAddr| ["--grpc-address".to_owned(), address.to_string()];
    let [flag, address] = flags(to_time);
    let _time = time(&[&flag, &address]).start().await.unwrap();
    let response = get(http, "/proxy/Ana").await;
    let upstream = response.json()["upstream"].clone();
    assert_eq!(
        (response.status, upstream.as_str()),
        (503, Some("revert-name"))
    );

    let [flag, address] = flags(to_revert_name);
    let _revert_name = revert_name(&[&flag, &address]).start().await.unwrap();
    within(
        RECOVERY,
        eventually("a response", async || {
            (get(http, "/proxy/Ana").await.status == 200).then_some(())
        }),
    )
    .await;
}

#[tokio::test]
async fn the_edge_starts_after_its_leaves() {
    let data = tempfile::tempdir().unwrap();
    let revert_name = revert_name(&[]).start().await.unwrap();
    let time = time(&[]).start().await.unwrap();
    let edge = edge_of(&data, revert_name.addresses().grpc, time.addresses().grpc).await;
    let response = get(edge.addresses().http.unwrap(), "/proxy/Ana").await;
    assert_eq!(response.status, 200, "{}", response.body);
}

#[tokio::test]
async fn a_leaf_that_accepts_no_connection_costs_one_deadline() {
    let data = tempfile::tempdir().unwrap();
    let revert_name = revert_name(&[]).start().await.unwrap();
    // Bound and never started: connections wait in the kernel forever.
    let silent = time(&[]);
    let revert_name_url = format!("http://{}", revert_name.addresses().grpc);
    let time_url = format!("http://{}", silent.addresses().grpc);
    let flags = [
        "--revert-name-url",
        &revert_name_url,
        "--time-url",
        &time_url,
        "--upstream-timeout",
        "300ms",
    ];
    let edge = edge(data.path(), &flags).start().await.unwrap();
    let http = edge.addresses().http.unwrap();
    let asks = (0..20).map(|_| within(RECOVERY, get(http, "/proxy/Ana")));
    for (response, took) in futures_util::future::join_all(asks).await {
        assert_eq!(response.status, 504, "{}", response.body);
        assert_eq!(response.json()["upstream"], "time");
        assert!(took >= Duration::from_millis(300), "{took:?}");
        assert!(took < Duration::from_millis(800), "{took:?}");
    }
}

#[tokio::test]
async fn a_leaf_that_restarts_under_load_causes_503s_alone_until_it_is_back() {
    let mesh = Mesh::start().await;
    let http = mesh.http();
    let begun = Instant::now();
    let (stop, stopped) = tokio::sync::watch::channel(false);
    let seen = Arc::new(Mutex::new(Vec::new()));
    let asks: Vec<_> = (0..4)
        .map(|_| {
            let (stopped, seen) = (stopped.clone(), Arc::clone(&seen));
            tokio::spawn(async move {
                let mut pace = interval(Duration::from_millis(5));
                while !*stopped.borrow() {
                    pace.tick().await;
                    let at = begun.elapsed();
                    let request = http::Request::get("/proxy/Ana");
                    let response = send(http, request).await;
                    let status = response.map(|response| response.status).unwrap_or(0);
                    seen.lock().unwrap().push((at, status));
                }
            })
        })
        .collect();
    let status = async || get(http, "/proxy/Bo").await.status;
    let address = mesh.time.addresses().grpc.to_string();
    for _ in 0..3 {
        eventually("a response", async || (status().await == 200).then_some(())).await;
    }
    mesh.time.stop().await;
    for _ in 0..50 {
        eventually("a refusal", async || (status().await == 503).then_some(())).await;
    }
    let _time = time(&["--grpc-address", &address]).start().await.unwrap();
    let back = begun.elapsed();
    eventually("a hundred responses after the recovery", async || {
        let seen = seen.lock().unwrap();
        let after = seen.iter().filter(|(at, _)| *at > back + RECOVERY);
        (after.count() >= 100).then_some(())
    })
    .await;
    stop.send(true).unwrap();
    for ask in asks {
        ask.await.unwrap();
    }
    let seen = seen.lock().unwrap();
    let odd: Vec<_> = seen
        .iter()
        .filter(|(_, status)| !matches!(status, 200 | 503))
        .collect();
    assert!(odd.is_empty(), "{odd:?}");
    let late: Vec<_> = seen
        .iter()
        .filter(|(at, status)| *at > back + RECOVERY && *status != 200)
        .collect();
    assert!(late.is_empty(), "back at {back:?}: {late:?}");
    assert!(seen.iter().any(|(_, status)| *status == 503));
}
