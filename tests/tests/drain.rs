//! How a service stops: what it has begun it ends, and nobody can hold it open.
#![expect(clippy::unwrap_used, reason = "tests fail by panicking")]

use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tonic::Code;
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_client::HealthClient;
use vitalmesh_chassis::Running;
use vitalmesh_proto::revert_name::v1::RevertNameRequest;
use vitalmesh_proto::revert_name::v1::revert_name_service_client::RevertNameServiceClient;
use vitalmesh_tests::{Mesh, channel, edge, eventually, get, revert_name, scrape, within};

const STARTED: &str = "grpc_server_started_total{grpc_method=\"RevertName\",\
                       grpc_service=\"vitalmesh.revert_name.v1.RevertNameService\",\
                       grpc_type=\"unary\"}";
/// Far below the drain timeout of 10 s: nothing had to be cut.
const SOON: Duration = Duration::from_secs(3);

#[tokio::test]
async fn a_call_in_flight_is_answered_and_a_new_connection_is_refused() {
    let leaf = revert_name(&[]).start().await.unwrap();
    let addresses = leaf.addresses();
    let call = tokio::spawn(async move {
        let mut client = RevertNameServiceClient::new(channel(addresses.grpc));
        let name = "Ana".to_owned();
        client
            .revert_name(RevertNameRequest { name, delay: 5 })
            .await
    });
    eventually("the call has begun", async || {
        (scrape(addresses.scrape).await.value(STARTED) == Some(1.0)).then_some(())
    })
    .await;

    let stop = tokio::spawn(leaf.stop());
    eventually("the port is closed", async || {
        TcpStream::connect(addresses.grpc)
            .await
            .is_err()
            .then_some(())
    })
    .await;
    assert!(
        !call.is_finished(),
        "the port was closed after the call only"
    );
    // Longer than a connection may be silent.
    let answer = within(3 * SOON, call).await.0.unwrap();
    assert_eq!(answer.unwrap().into_inner().name, "anA");
    within(SOON, stop).await.0.unwrap();
    assert!(TcpStream::connect(addresses.scrape).await.is_err());
}

#[tokio::test]
async fn a_proxied_request_in_flight_is_answered_when_edge_and_leaf_stop() {
    let mesh = Mesh::start().await;
    let http = mesh.http();
    let mut stream = TcpStream::connect(http).await.unwrap();
    // A kept-alive connection is closed after the answer, not before it.
    stream
        .write_all(b"GET /proxy/Ana HTTP/1.1\r\nhost: edge\r\n\r\n")
        .await
        .unwrap();
    let mut first = [0; 12];
    stream.read_exact(&mut first).await.unwrap();
    assert_eq!(&first, b"HTTP/1.1 200");
    within(SOON, mesh.stop()).await;
    let mut rest = String::new();
    stream.read_to_string(&mut rest).await.unwrap();
    assert!(rest.contains("\"reversed_name\":\"anA\""), "{rest}");
    assert!(TcpStream::connect(http).await.is_err());
}

#[tokio::test]
async fn a_call_longer_than_the_drain_is_cut() {
    let leaf = revert_name(&["--drain-timeout", "300ms"])
        .start()
        .await
        .unwrap();
    let addresses = leaf.addresses();
    let call = tokio::spawn(async move {
        let mut client = RevertNameServiceClient::new(channel(addresses.grpc));
        let name = "Ana".to_owned();
        client
            .revert_name(RevertNameRequest { name, delay: 20 })
            .await
    });
    eventually("the call has begun", async || {
        (scrape(addresses.scrape).await.value(STARTED) == Some(1.0)).then_some(())
    })
    .await;
    let ((), took) = within(SOON, leaf.stop()).await;
    assert!(took >= Duration::from_millis(300), "{took:?}");
    let code = within(SOON, call).await.0.unwrap().unwrap_err().code();
    assert!(
        matches!(code, Code::Unavailable | Code::Cancelled | Code::Unknown),
        "{code:?}"
    );
}

#[tokio::test]
async fn a_health_watch_sees_the_end_and_does_not_hold_it() {
    let leaf = revert_name(&["--lame-duck", "200ms"])
        .start()
        .await
        .unwrap();
    let mut client = HealthClient::new(channel(leaf.addresses().grpc));
    let service = "vitalmesh.revert_name.v1.RevertNameService".to_owned();
    for service in [String::new(), service] {
        let request = HealthCheckRequest { service };
        let status = client.check(request).await.unwrap().into_inner().status;
        assert_eq!(status, 1, "SERVING");
    }
    let service = "no.such.Service".to_owned();
    let unknown = client
        .check(HealthCheckRequest { service })
        .await
        .unwrap_err();
    assert_eq!(unknown.code(), Code::NotFound);

    let watch = client.watch(HealthCheckRequest::default()).await.unwrap();
    let mut watch = watch.into_inner();
    assert_eq!(watch.message().await.unwrap().unwrap().status, 1);
    let stop = tokio::spawn(leaf.stop());
    let status = within(SOON, watch.message())
        .await
        .0
        .unwrap()
        .unwrap()
        .status;
    assert_eq!(status, 2, "NOT_SERVING");
    within(SOON, stop).await.0.unwrap();
    // Ended by the server, with whatever last word.
    within(SOON, async {
        while let Ok(Some(_)) = watch.message().await {}
    })
    .await;
}

#[tokio::test]
async fn readyz_says_draining_while_livez_and_metrics_stay() {
    let leaf = revert_name(&["--lame-duck", "400ms"])
        .start()
        .await
        .unwrap();
    let address = leaf.addresses().scrape;
    assert_eq!(get(address, "/readyz").await.status, 200);
    let stop = tokio::spawn(leaf.stop());
    let ready = eventually("not ready", async || {
        let page = get(address, "/readyz").await;
        (page.status != 200).then_some(page)
    })
    .await;
    assert_eq!((ready.status, ready.body.as_str()), (503, "draining\n"));
    assert_eq!(get(address, "/livez").await.status, 200);
    assert_eq!(get(address, "/metrics").await.status, 200);
    within(SOON, stop).await.0.unwrap();
}

/// A connection to each port, on which `said` is all that is ever said, accepted by the service.
async fn mute_peers(edge: &Running, said: &[u8]) -> Vec<TcpStream> {
    let addresses = edge.addresses();
    let http = addresses.http.unwrap();
    let mut peers = Vec::new();
    for address in [addresses.grpc, http, addresses.scrape] {
        let mut peer = TcpStream::connect(address).await.unwrap();
        peer.write_all(said).await.unwrap();
        peers.push(peer);
    }
    // Connections are accepted in order.
    assert_eq!(get(addresses.scrape, "/livez").await.status, 200);
    assert_eq!(get(http, "/heartbeats").await.status, 200);
    let mut health = HealthClient::new(channel(addresses.grpc));
    health.check(HealthCheckRequest::default()).await.unwrap();
    peers
}

async fn closed(peers: Vec<TcpStream>) {
    for mut peer in peers {
        let mut rest = Vec::new();
        let _ = within(SOON, peer.read_to_end(&mut rest)).await;
    }
}

#[tokio::test]
async fn peers_that_say_nothing_or_half_a_preface_do_not_hold_the_stop() {
    let data = tempfile::tempdir().unwrap();
    let edge = edge(data.path(), &[]).start().await.unwrap();
    let mut peers = mute_peers(&edge, b"").await;
    peers.extend(mute_peers(&edge, b"PRI * HT").await);
    within(SOON, edge.stop()).await;
    closed(peers).await;
}

/// They owe an answer to the last PING, for which a peer that is only far away gets its time.
#[tokio::test]
async fn http2_peers_that_fall_silent_are_cut_long_before_the_drain_timeout() {
    let data = tempfile::tempdir().unwrap();
    let edge = edge(data.path(), &[]).start().await.unwrap();
    let preface = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
    let settings = b"\x00\x00\x00\x04\x00\x00\x00\x00\x00";
    let mut peers = mute_peers(&edge, preface).await;
    peers.extend(mute_peers(&edge, &[preface.as_slice(), settings].concat()).await);
    let scrape = edge.addresses().scrape;
    let ((), took) = within(2 * SOON, edge.stop()).await;
    assert!(took >= Duration::from_secs(2), "{took:?}");
    // The scrape port's thread goes with the process.
    peers.retain(|peer| peer.peer_addr().is_ok_and(|address| address != scrape));
    closed(peers).await;
}

#[tokio::test]
async fn half_a_request_holds_the_stop_no_longer_than_its_head_may_take() {
    let data = tempfile::tempdir().unwrap();
    let edge = edge(data.path(), &[]).start().await.unwrap();
    let peers = mute_peers(&edge, b"GET /proxy/Ana HTTP/1.1\r\nho").await;
    within(Duration::from_secs(6), edge.stop()).await;
    closed(peers).await;
}
