//! Shutdown without a lost request: clients move to other connections during the lame duck.
#![expect(clippy::unwrap_used, reason = "tests fail by panicking")]

use std::net::SocketAddr;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt, Empty};
use hyper_util::rt::{TokioExecutor, TokioIo};
use rustix::process::Signal;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tokio::time::sleep;
use vitalmesh_tests::{Program, eventually, get, revert_name, within};

const CLIENTS: u64 = 8;
const SOON: Duration = Duration::from_secs(5);

/// What a keep-alive client saw until the port was closed.
#[derive(Debug, Default)]
struct Seen {
    answered: usize,
    /// Requests that were written to an open connection and not answered.
    lost: Vec<String>,
}

/// Sends requests with `pause` between them, each on the last connection unless that was closed
/// by `Connection: close`, until a connection is refused.
async fn keep_alive_client(address: SocketAddr, pause: Duration) -> Seen {
    let mut seen = Seen::default();
    let mut connection = None;
    loop {
        let mut stream = match connection.take() {
            Some(stream) => stream,
            None => match TcpStream::connect(address).await {
                Ok(stream) => stream,
                Err(_) => return seen,
            },
        };
        match exchange(&mut stream).await {
            Ok(head) => {
                seen.answered += 1;
                if !head.contains("connection: close") {
                    connection = Some(stream);
                }
            }
            Err(error) => seen.lost.push(error),
        }
        if !pause.is_zero() {
            sleep(pause).await;
        }
    }
}

/// Sends a request and reads its whole response; returns the response's head.
async fn exchange(stream: &mut TcpStream) -> Result<String, String> {
    let request = b"GET /increase/41 HTTP/1.1\r\nhost: counter\r\n\r\n";
    let failed = |error: std::io::Error| error.to_string();
    stream.write_all(request).await.map_err(failed)?;
    let mut response = Vec::new();
    loop {
        let read = stream.read_buf(&mut response).await.map_err(failed)?;
        let text = String::from_utf8_lossy(&response);
        if read == 0 {
            return Err(format!("closed after {text:?}"));
        }
        let Some((head, body)) = text.split_once("\r\n\r\n") else {
            continue;
        };
        let length = head.lines().find_map(|line| {
            let (name, value) = line.split_once(": ")?;
            name.eq_ignore_ascii_case("content-length")
                .then(|| value.parse::<usize>().unwrap())
        });
        if body.len() == length.unwrap() {
            assert!(head.starts_with("HTTP/1.1 200"), "{head}");
            return Ok(head.to_ascii_lowercase());
        }
    }
}

#[tokio::test]
async fn no_request_of_keep_alive_clients_is_lost_across_a_sigterm() {
    for _ in 0..3 {
        let flags = ["--heartbeat-cron", "0 0 0 * * *", "--lame-duck", "300ms"];
        let counter = Program::service("counter", &flags);
        let http = counter.address("http").await;
        let mut clients = JoinSet::new();
        for client in 0..CLIENTS {
            // Half of them are idle when the connections close.
            let pause = Duration::from_millis(client / 2);
            clients.spawn(keep_alive_client(http, pause));
        }
        sleep(Duration::from_millis(300)).await;
        counter.signal(Signal::TERM);
        let seen = within(SOON, clients.join_all()).await.0;
        let answered: usize = seen.iter().map(|seen| seen.answered).sum();
        assert!(answered > 200, "{answered}");
        let lost: Vec<_> = seen.iter().flat_map(|seen| &seen.lost).collect();
        assert!(lost.is_empty(), "{} of {answered}: {lost:?}", lost.len());
        let (status, _) = within(SOON, counter.ended()).await.0;
        assert!(status.success(), "{status}");
    }
}

#[tokio::test]
async fn during_the_lame_duck_old_http2_connections_close_and_new_ones_are_served() {
    let leaf = revert_name(&["--lame-duck", "2s"]).start().await.unwrap();
    let addresses = leaf.addresses();
    let handshake = async || {
        let stream = TcpStream::connect(addresses.grpc).await.unwrap();
        let io = TokioIo::new(stream);
        hyper::client::conn::http2::handshake::<_, _, Empty<Bytes>>(TokioExecutor::new(), io)
            .await
            .unwrap()
    };
    let request = || http::Request::get(format!("http://{}/", addresses.grpc));
    let (mut sender, connection) = handshake().await;
    let old = tokio::spawn(connection);
    let request = || request().body(Empty::new()).unwrap();
    let answer = sender.send_request(request()).await.unwrap();
    assert_eq!(answer.status(), 405);

    let stop = tokio::spawn(leaf.stop());
    eventually("not ready", async || {
        (get(addresses.scrape, "/readyz").await.status == 503).then_some(())
    })
    .await;
    // GOAWAY: the idle connection ends without an error, long before the lame duck does.
    within(Duration::from_secs(1), old)
        .await
        .0
        .unwrap()
        .unwrap();
    assert!(sender.send_request(request()).await.is_err());

    let (mut sender, connection) = handshake().await;
    let new = tokio::spawn(connection);
    for _ in 0..10 {
        let answer = sender.send_request(request()).await.unwrap();
        assert_eq!(answer.status(), 405);
        answer.into_body().collect().await.unwrap();
    }
    assert!(!new.is_finished());
    within(SOON, stop).await.0.unwrap();
    within(SOON, new).await.0.unwrap().unwrap();
}
