//! Peers that stop in the middle of a request.

use std::time::Duration;

use futures_util::future::join_all;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::{interval, timeout};
use vitalmesh_tests::{edge, within};

use crate::frames::{SETTINGS, frame};

#[tokio::test]
async fn peers_that_stop_in_the_middle_are_disconnected() {
    let data = tempfile::tempdir().unwrap();
    let edge = edge(data.path(), &[]).start().await.unwrap();
    let addresses = edge.addresses();
    let ports = [addresses.grpc, addresses.http.unwrap(), addresses.scrape];
    let preface: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
    let settings = [preface, &frame(SETTINGS, 0, 0, &[])].concat();
    let mut waits = Vec::new();
    for port in ports {
        for (bytes, limit) in [
            (b"".as_slice(), 5),
            (b"PRI * HTT", 5),
            (b"GET /proxy/Ana HTTP/1.1\r\nHost: a", 5),
            // A complete request, and silence after its response.
            (b"GET /livez HTTP/1.1\r\nHost: a\r\n\r\n", 5),
            // HTTP/2 without a response to PING: 10 s and then 5 s.
            (preface, 15),
            (&settings, 15),
        ] {
            waits.push((port, bytes.to_vec(), limit));
        }
    }
    let closed = waits.into_iter().map(|(port, bytes, limit)| async move {
        let mut peer = TcpStream::connect(port).await.unwrap();
        peer.write_all(&bytes).await.unwrap();
        let mut rest = Vec::new();
        let read = peer.read_to_end(&mut rest);
        let limit = Duration::from_secs(limit + 2);
        let closed = timeout(limit, read).await.is_ok();
        (String::from_utf8_lossy(&bytes).into_owned(), closed)
    });
    let open: Vec<_> = join_all(closed)
        .await
        .into_iter()
        .filter(|(_, closed)| !closed)
        .collect();
    assert!(open.is_empty(), "still open: {open:?}");
}

#[tokio::test]
async fn a_head_that_arrives_byte_by_byte_is_cut_off_at_its_timeout() {
    let data = tempfile::tempdir().unwrap();
    let edge = edge(data.path(), &[]).start().await.unwrap();
    let peer = TcpStream::connect(edge.addresses().http.unwrap())
        .await
        .unwrap();
    let (mut read, mut write) = peer.into_split();
    let drip = tokio::spawn(async move {
        let mut pace = interval(Duration::from_millis(200));
        for byte in b"GET /proxy/Ana HTTP/1.1\r\n"
            .iter()
            .chain(std::iter::repeat(&b'a'))
        {
            pace.tick().await;
            if write.write_all(&[*byte]).await.is_err() {
                return;
            }
        }
    });
    let mut rest = Vec::new();
    let (_, took) = within(Duration::from_secs(7), read.read_to_end(&mut rest)).await;
    assert!(took > Duration::from_secs(4), "{took:?}");
    drip.abort();
}
