//! Streams of ten million: a generator pauses with its reader and stops with its call.
#![expect(clippy::unwrap_used, reason = "tests fail by panicking")]

use std::net::SocketAddr;
use std::time::Duration;

use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::Instant;
use vitalmesh_chassis::{Addresses, Running};
use vitalmesh_proto::bookstore::v1::RecommendBooksRequest;
use vitalmesh_proto::bookstore::v1::bookstore_service_client::BookstoreServiceClient;
use vitalmesh_tests::{Wire, bookstore, eventually, get, scrape, within};

const PRODUCED: &str = "mesh_recommendations_total";
const CANCELED: &str = "grpc_server_handled_total{grpc_code=\"Canceled\",\
                        grpc_method=\"RecommendBooks\",\
                        grpc_service=\"vitalmesh.bookstore.v1.BookstoreService\",\
                        grpc_type=\"server_stream\"}";
const OVERDUE: &str = "grpc_client_handled_total{grpc_code=\"DeadlineExceeded\",\
                       grpc_method=\"RecommendBooks\",\
                       grpc_service=\"vitalmesh.bookstore.v1.BookstoreService\",\
                       grpc_type=\"server_stream\"}";
const MAX_RESULTS: i32 = 10_000_000;
/// Consecutive equal scrapes after which a generator counts as stalled.
const STALLED_SCRAPES: u32 = 30;

async fn start(flags: &[&str]) -> (Running, Addresses, TempDir) {
    let data = tempfile::tempdir().unwrap();
    let running = bookstore(data.path(), flags).start().await.unwrap();
    let addresses = running.addresses();
    (running, addresses, data)
}

async fn value(address: SocketAddr, series: &str) -> f64 {
    scrape(address).await.value(series).unwrap()
}

/// The number of recommendations once the generator has stalled.
async fn produced_when_stalled(address: SocketAddr) -> f64 {
    let mut last = (0.0, 0);
    eventually("the generator stalls", async || {
        let made = value(address, PRODUCED).await;
        last = match made == last.0 {
            true => (made, last.1 + 1),
            false => (made, 0),
        };
        (last.1 >= STALLED_SCRAPES).then_some(made)
    })
    .await
}

/// A request whose response the test reads itself.
async fn request(address: SocketAddr, path: &str) -> TcpStream {
    let mut stream = TcpStream::connect(address).await.unwrap();
    let request = format!("GET {path} HTTP/1.1\r\nhost: bookstore\r\n\r\n");
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut head = [0; 15];
    stream.read_exact(&mut head).await.unwrap();
    assert_eq!(&head, b"HTTP/1.1 200 OK");
    stream
}

/// Reads a hundred thousand messages, cancels the stream, and returns the time until it has ended.
async fn cancelled_after(addresses: Addresses, wire: &Wire, earlier: f64) -> Duration {
    let mut client = BookstoreServiceClient::with_origin(wire.clone(), wire.origin());
    let request = RecommendBooksRequest {
        user_id: 7,
        max_results: MAX_RESULTS,
    };
    let mut stream = client.recommend_books(request).await.unwrap().into_inner();
    for id in 1..=100_000 {
        assert_eq!(stream.message().await.unwrap().unwrap().id, id);
    }
    drop(stream);
    let cancelled = Instant::now();
    eventually("the call has ended", async || {
        (value(addresses.scrape, CANCELED).await > earlier).then_some(())
    })
    .await;
    cancelled.elapsed()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_cancelled_stream_stops_its_generator_within_100_ms() {
    let (_running, addresses, _data) = start(&[]).await;
    let wire = Wire::connect(addresses.grpc).await;
    let mut took = Vec::new();
    for earlier in 0..5 {
        took.push(cancelled_after(addresses, &wire, earlier.into()).await);
        let made = value(addresses.scrape, PRODUCED).await;
        assert!(
            made < f64::from((earlier + 1) * 1_000_000),
            "{made} were produced"
        );
        assert_eq!(produced_when_stalled(addresses.scrape).await, made);
    }
    took.sort_unstable();
    println!("ended after {took:?}");
    assert!(took[2] < Duration::from_millis(100), "{took:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_browser_that_closes_cancels_the_call() {
    let (_running, addresses, _data) = start(&[]).await;
    let http = addresses.http.unwrap();
    let mut stream = request(http, "/10000000").await;
    stream.read_exact(&mut [0; 100_000]).await.unwrap();
    assert_eq!(value(addresses.scrape, CANCELED).await, 0.0);
    drop(stream);
    eventually("the call has ended", async || {
        (value(addresses.scrape, CANCELED).await == 1.0).then_some(())
    })
    .await;
    let of_client = CANCELED.replace("grpc_server", "grpc_client");
    assert_eq!(value(addresses.scrape, &of_client).await, 1.0);
    let made = value(addresses.scrape, PRODUCED).await;
    assert!(made < f64::from(MAX_RESULTS) / 2.0, "{made} were produced");
    assert_eq!(produced_when_stalled(addresses.scrape).await, made);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_reader_that_pauses_stops_the_generator_until_it_resumes() {
    let (_running, addresses, _data) = start(&[]).await;
    let mut stream = request(addresses.http.unwrap(), "/10000000").await;
    let made = produced_when_stalled(addresses.scrape).await;
    assert!(made > 1000.0 && made < 1_000_000.0, "{made} were produced");
    let mut read = vec![0; 16 << 20];
    stream.read_exact(&mut read).await.unwrap();
    assert!(produced_when_stalled(addresses.scrape).await > made + 200_000.0);
    assert_eq!(value(addresses.scrape, CANCELED).await, 0.0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn stalled_readers_delay_no_other_request() {
    let (_running, addresses, _data) = start(&[]).await;
    let http = addresses.http.unwrap();
    let mut still = Vec::new();
    for _ in 0..6 {
        still.push(request(http, "/10000000").await);
    }
    produced_when_stalled(addresses.scrape).await;
    let limit = Duration::from_secs(5);
    let (book, _) = within(limit, get(http, "/books/1")).await;
    assert_eq!(book.json()["title"], "Epic of Gilgamesh");
    let (lines, _) = within(limit, get(http, "/1000")).await;
    assert_eq!(lines.body.lines().count(), 1000);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stream_past_its_timeout_ends_with_an_error_line_and_is_aborted() {
    let (_running, addresses, _data) = start(&["--stream-timeout", "300ms"]).await;
    let mut stream = request(addresses.http.unwrap(), "/10000000").await;
    let mut received = Vec::new();
    stream.read_to_end(&mut received).await.unwrap();
    let received = String::from_utf8(received).unwrap();
    assert!(
        !received.ends_with("0\r\n\r\n"),
        "the truncated transfer looks complete"
    );
    let rows = received
        .lines()
        .filter(|line| line.starts_with("{\"id\":"))
        .count();
    assert!(
        rows > 1 && rows < MAX_RESULTS.unsigned_abs() as usize,
        "{rows}"
    );
    let error = received
        .lines()
        .rfind(|line| line.starts_with("{\"error\":"))
        .unwrap();
    assert!(
        error.contains("\"grpc_code\":\"DeadlineExceeded\""),
        "{error}"
    );
    // The status was 200 by then; the metrics of the call have the code.
    let answered = "http_server_requests_total{method=\"GET\",route=\"/{n}\",status=\"200\"}";
    eventually("the download is counted", async || {
        (value(addresses.scrape, answered).await == 1.0).then_some(())
    })
    .await;
    assert_eq!(value(addresses.scrape, OVERDUE).await, 1.0);
}
