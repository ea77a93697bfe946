//! The pages that every service has beside its API, and what browsers may do with the API.
#![expect(clippy::unwrap_used, reason = "tests fail by panicking")]

use std::net::SocketAddr;

use http::Request;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use vitalmesh_tests::{HttpResponse, edge, get, send};

const ORIGIN: &str = "https://a.example";

#[tokio::test]
async fn every_path_is_served_with_and_without_a_trailing_slash_and_ports_have_an_icon() {
    let data = tempfile::tempdir().unwrap();
    let edge = edge(data.path(), &[]).start().await.unwrap();
    let (http, scrape) = (edge.addresses().http.unwrap(), edge.addresses().scrape);
    for (address, path) in [
        (http, "/heartbeats"),
        (http, "/prometheus/metrics"),
        (scrape, "/metrics"),
        (scrape, "/livez"),
        (scrape, "/readyz"),
    ] {
        let without = get(address, path).await;
        let with = get(address, &format!("{path}/")).await;
        assert_eq!((without.status, with.status), (200, 200), "{path}");
        let (without, with) = (without.header("content-type"), with.header("content-type"));
        assert_eq!(without, with, "{path}");
    }
    for address in [http, scrape] {
        let answer = raw(address, "GET /favicon.ico HTTP/1.1\r\nhost: a").await;
        let head = String::from_utf8_lossy(&answer);
        assert!(head.starts_with("HTTP/1.1 200 OK"), "{head}");
        assert!(head.contains("content-type: image/x-icon"), "{head}");
    }
}

async fn preflight(flags: &[&str], path: &str) -> HttpResponse {
    let data = tempfile::tempdir().unwrap();
    let edge = edge(data.path(), flags).start().await.unwrap();
    let request = Request::options(path)
        .header("origin", ORIGIN)
        .header("access-control-request-method", "GET");
    let answer = send(edge.addresses().http.unwrap(), request).await;
    answer.unwrap()
}

#[tokio::test]
async fn other_origins_may_call_the_api_only_if_a_setting_names_them() {
    let off = preflight(&[], "/proxy/Ana").await;
    assert_eq!(
        (off.status, off.header("access-control-allow-origin")),
        (405, "")
    );
    let on = ["--cors-origins", ORIGIN];
    let on = preflight(&on, "/proxy/Ana").await;
    assert_eq!(
        (on.status, on.header("access-control-allow-origin")),
        (200, ORIGIN)
    );
    let other = ["--cors-origins", "https://b.example"];
    let other = preflight(&other, "/proxy/Ana").await;
    assert_eq!(other.header("access-control-allow-origin"), "");
}

#[tokio::test]
async fn call_durations_have_opentelemetrys_names_and_native_buckets_if_settings_say_so() {
    const PROTOBUF: &str = "application/vnd.google.protobuf;\
        proto=io.prometheus.client.MetricFamily;encoding=delimited";
    for (flags, old, stable) in [
        (&[][..], true, false),
        (
            &["--semconv-opt-in=rpc/dup", "--native-histograms=on"],
            true,
            true,
        ),
        (&["--semconv-opt-in=rpc"], false, true),
    ] {
        let data = tempfile::tempdir().unwrap();
        let edge = edge(data.path(), flags).start().await.unwrap();
        let scrape = edge.addresses().scrape;
        let page = get(scrape, "/metrics").await.body;
        for side in ["server", "client"] {
            let shows = |family: &str| page.contains(&format!("# TYPE {family} histogram"));
            let old_name = format!("grpc_{side}_handling_seconds");
            let stable_name = format!("rpc_{side}_call_duration_seconds");
            assert_eq!(shows(&old_name), old, "{flags:?} {old_name}");
            assert_eq!(shows(&stable_name), stable, "{flags:?} {stable_name}");
        }
        let native = raw(
            scrape,
            &format!("GET /metrics HTTP/1.1\r\nhost: a\r\naccept: {PROTOBUF}"),
        )
        .await;
        let has = |bytes: &[u8]| native.windows(bytes.len()).any(|window| window == bytes);
        assert!(
            has(b"content-type: application/vnd.google.protobuf"),
            "{flags:?}"
        );
        // The field `zero_threshold`, which only native histograms have.
        let threshold = [&[0x31][..], &2_f64.powi(-20).to_le_bytes()].concat();
        assert_eq!(has(&threshold), flags.len() == 2, "{flags:?}");
    }
}

/// The bytes of the answer to this request.
async fn raw(address: SocketAddr, head: &str) -> Vec<u8> {
    let mut stream = TcpStream::connect(address).await.unwrap();
    let request = format!("{head}\r\nconnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).await.unwrap();
    answer
}

#[tokio::test]
async fn a_metrics_page_is_gzip_for_clients_that_accept_it() {
    let data = tempfile::tempdir().unwrap();
    let edge = edge(data.path(), &[]).start().await.unwrap();
    let (http, scrape) = (edge.addresses().http.unwrap(), edge.addresses().scrape);
    for (address, path) in [
        (http, "/prometheus/metrics"),
        (scrape, "/metrics"),
        (scrape, "/"),
    ] {
        let plain = get(address, path).await;
        assert_eq!(plain.header("content-encoding"), "", "{path}");
        assert_eq!(plain.header("vary"), "accept, accept-encoding", "{path}");
        let mut stream = TcpStream::connect(address).await.unwrap();
        let request = format!(
            "GET {path} HTTP/1.1\r\nhost: a\r\naccept-encoding: gzip\r\nconnection: close\r\n\r\n"
        );
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).await.unwrap();
        let head = String::from_utf8_lossy(&answer);
        assert!(head.contains("content-encoding: gzip"), "{path}: {head}");
        assert!(
            answer.len() * 5 < plain.body.len(),
            "{path}: {}",
            answer.len()
        );
    }
}
