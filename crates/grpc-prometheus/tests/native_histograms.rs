//! A real Prometheus takes native histograms, and answers quantiles within their error.
//!
//! Needs `prometheus` 2.40 or later in `PATH`, hence ignored:
//! `cargo test -p grpc-prometheus --test native_histograms -- --ignored`.

#![expect(clippy::unwrap_used, reason = "helpers of tests fail as tests do")]
#![expect(clippy::disallowed_types, reason = "compares with real time")]

use std::{
    convert::Infallible,
    fs,
    future::IntoFuture,
    path::Path,
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use axum::Router;
use grpc_prometheus::{Exposition, RequestBody, ServerMetrics};
use http::{Request, Response};
use prost::Message;
use prost_types::{
    FileDescriptorProto, FileDescriptorSet, MethodDescriptorProto, ServiceDescriptorProto,
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
};
use tower::{Layer, ServiceExt, service_fn};

/// Each bound of schema 3 is this much above the last.
const ERROR: f64 = 1.091;

/// Ends the process with the test.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        _ = self.0.kill();
        _ = self.0.wait();
    }
}

fn descriptor_set() -> Vec<u8> {
    let method = MethodDescriptorProto {
        name: Some("Do".into()),
        ..Default::default()
    };
    let service = ServiceDescriptorProto {
        name: Some("S".into()),
        method: vec![method],
        ..Default::default()
    };
    let file = FileDescriptorProto {
        package: Some("p".into()),
        service: vec![service],
        ..Default::default()
    };
    FileDescriptorSet { file: vec![file] }.encode_to_vec()
}

/// Calls a service that takes its time, and returns the times that the caller saw, sorted.
async fn call(metrics: &ServerMetrics, times: usize) -> Vec<f64> {
    let service = service_fn(|request: Request<RequestBody<String>>| async move {
        let micros = request.uri().query().unwrap().parse().unwrap();
        tokio::time::sleep(Duration::from_micros(micros)).await;
        let response = Response::builder().header("grpc-status", "0");
        Ok::<_, Infallible>(response.body(String::new()).unwrap())
    });
    let mut seen = Vec::new();
    for call in 0..times {
        // From 2 to 120 ms.
        let micros = 2_000.0 * 1.036_f64.powf(call as f64);
        let uri = format!("/p.S/Do?{}", micros as u64);
        let request = Request::post(uri).header("content-type", "application/grpc");
        let request = request.body(String::new()).unwrap();
        let start = Instant::now();
        metrics
            .layer()
            .layer(service)
            .oneshot(request)
            .await
            .unwrap();
        seen.push(start.elapsed().as_secs_f64());
    }
    seen.sort_by(f64::total_cmp);
    seen
}

fn start(scraped: u16, port: u16) -> Running {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("prometheus-{port}"));
    _ = fs::remove_dir_all(&folder);
    fs::create_dir_all(&folder).unwrap();
    let config = folder.join("prometheus.yml");
    let text = format!(
        "global: {{scrape_interval: 500ms, scrape_timeout: 500ms}}\n\
         scrape_configs:\n- job_name: test\n  static_configs: [{{targets: ['127.0.0.1:{scraped}']}}]\n"
    );
    fs::write(&config, text).unwrap();
    let prometheus = Command::new("prometheus")
        .arg("--enable-feature=native-histograms")
        .arg(format!("--config.file={}", config.display()))
        .arg(format!(
            "--storage.tsdb.path={}",
            folder.join("data").display()
        ))
        .arg(format!("--web.listen-address=127.0.0.1:{port}"))
        .stdout(Stdio::null())
        .stderr(fs::File::create(folder.join("log")).unwrap())
        .spawn();
    Running(prometheus.expect("prometheus must be in PATH"))
}

/// The value of a query with one result, once Prometheus has one.
async fn value(port: u16, query: &str) -> Option<f64> {
    let encoded: String = query.bytes().map(|byte| format!("%{byte:02X}")).collect();
    let mut connection = TcpStream::connect(("127.0.0.1", port)).await.ok()?;
    let request = format!(
        "GET /api/v1/query?query={encoded} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"
    );
    connection.write_all(request.as_bytes()).await.ok()?;
    let mut answer = String::new();
    connection.read_to_string(&mut answer).await.ok()?;
    let (_, value) = answer.split_once("\"value\":[")?;
    value.split('"').nth(1)?.parse().ok()
}

async fn wait_for(port: u16, query: &str, expected: f64) {
    let start = Instant::now();
    loop {
        let found = value(port, query).await;
        if found == Some(expected) {
            return;
        }
        assert!(
            start.elapsed() < Duration::from_secs(60),
            "{query}: {found:?}"
        );
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs prometheus"]
async fn prometheus_reads_quantiles_of_native_histograms_within_their_error() {
    let exposition = Exposition::default();
    let metrics = ServerMetrics::builder()
        .descriptor_set(&descriptor_set())
        .native_histograms(true)
        .start_timestamps(true)
        .register(&exposition)
        .unwrap();
    let page = Router::new().route_service("/metrics", exposition.scrape_service());
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let scraped = listener.local_addr().unwrap().port();
    tokio::spawn(axum::serve(listener, page).into_future());
    let free = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = free.local_addr().unwrap().port();
    drop(free);
    let _prometheus = start(scraped, port);

    // Only a native histogram answers histogram_count, and the name itself.
    wait_for(port, "histogram_count(grpc_server_handling_seconds)", 0.0).await;
    let seen = call(&metrics, 117).await;
    wait_for(port, "histogram_count(grpc_server_handling_seconds)", 117.0).await;
    wait_for(port, "sum(grpc_server_handled_total)", 117.0).await;
    for percent in [10, 25, 50, 75, 90, 99] {
        let quantile = f64::from(percent) / 100.0;
        let query = format!("histogram_quantile({quantile}, grpc_server_handling_seconds)");
        let found = value(port, &query).await.unwrap();
        let rank = (quantile * seen.len() as f64).ceil() as usize - 1;
        let ratio = found / seen[rank];
        assert!(
            (1.0 / ERROR..ERROR).contains(&ratio),
            "{query} {found}: {}",
            seen[rank]
        );
    }
    let sum: f64 = seen.iter().sum();
    let found = value(port, "histogram_sum(grpc_server_handling_seconds)")
        .await
        .unwrap();
    assert!((found / sum - 1.0).abs() < 0.01, "{found} {sum}");
}
