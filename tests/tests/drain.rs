//! How a service stops: it completes the calls in flight, and no peer can delay it.
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
/// Far below the drain timeout of 10 s: no call had to be aborted.
const SOON: Duration = Duration::from_secs(3);

#[tokio::test]
async fn a_call_in_flight_completes_and_a_new_connection_is_refused() {
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
        "the port stayed open until the call ended"
    );
    // Longer than a silent connection lives.
    let response = within(3 * SOON, call).await.0.unwrap();
    assert_eq!(response.unwrap().into_inner().name, "anA");
    within(SOON, stop).await.0.unwrap();
    assert!(TcpStream::connect(addresses.scrape).await.is_err());
}

#[tokio::test]
async fn a_proxied_request_in_flight_completes_when_edge_and_leaf_stop() {
    let mesh = Mesh::start().await;
    let http = mesh.http();
    let mut stream = TcpStream::connect(http).await.unwrap();
    // A kept-alive connection closes after the response, not before it.
    stream
        .write_all(b"GET /proxy/Ana HTTP/1.1\r\nhost: edge\r\n\r\n")
        .await
        .unwrap();
    let mut first = [0; 12];
    stream.read_exact(&mut first).await.unwrap();
    assert_eq!(&first, b"HTTP/1.1 200");
    within(SOON, Box::pin(mesh.stop())).await;
    let mut rest = String::new();
    stream.read_to_string(&mut rest).await.unwrap();
    assert!(rest.contains("\"reversed_name\":\"anA\""), "{rest}");
    assert!(TcpStream::connect(http).await.is_err());
}

#[tokio::test]
async fn a_call_longer_than_the_drain_timeout_is_aborted() {
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
async fn a_health_watch_reports_the_stop_and_does_not_delay_it() {
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
    // The server ends the stream, with any status.
    within(SOON, async {
        while let Ok(Some(_)) = watch.message().await {}
    })
    .await;
}

#[tokio::test]
async fn readyz_is_draining_while_livez_and_metrics_stay() {
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

/// An accepted connection to each port, on which the peer sends `bytes` and nothing else.
async fn silent_peers(edge: &Running, bytes: &[u8]) -> Vec<TcpStream> {
    let addresses = edge.addresses();
    let http = addresses.http.unwrap();
    let mut peers = Vec::new();
    for address in [addresses.grpc, http, addresses.scrape] {
        let mut peer = TcpStream::connect(address).await.unwrap();
        peer.write_all(bytes).await.unwrap();
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
async fn peers_that_send_nothing_or_half_a_preface_do_not_delay_the_stop() {
    let data = tempfile::tempdir().unwrap();
    let edge = edge(data.path(), &[]).start().await.unwrap();
    let mut peers = silent_peers(&edge, b"").await;
    peers.extend(silent_peers(&edge, b"PRI * HT").await);
    within(SOON, edge.stop()).await;
    closed(peers).await;
}

/// They owe a response to the last PING: a distant peer has time for it.
#[tokio::test]
async fn silent_http2_peers_are_disconnected_long_before_the_drain_timeout() {
    let data = tempfile::tempdir().unwrap();
    let edge = edge(data.path(), &[]).start().await.unwrap();
    let preface = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
    let settings = b"\x00\x00\x00\x04\x00\x00\x00\x00\x00";
    let mut peers = silent_peers(&edge, preface).await;
    peers.extend(silent_peers(&edge, &[preface.as_slice(), settings].concat()).await);
    let scrape = edge.addresses().scrape;
    let ((), took) = within(2 * SOON, edge.stop()).await;
    assert!(took >= Duration::from_secs(2), "{took:?}");
    // The thread of the scrape port ends with the process.
    peers.retain(|peer| peer.peer_addr().is_ok_and(|address| address != scrape));
    closed(peers).await;
}

#[tokio::test]
async fn half_a_request_delays_the_stop_by_the_header_timeout_at_most() {
    let data = tempfile::tempdir().unwrap();
    let edge = edge(data.path(), &[]).start().await.unwrap();
    let peers = silent_peers(&edge, b"GET /proxy/Ana HTTP/1.1\r\nho").await;
    within(Duration::from_secs(6), edge.stop()).await;
    closed(peers).await;
}
