//! HTTP/2 detection and settings.

use std::io::{self, Cursor};
use std::time::Duration;

use hyper::server::conn::http2::Builder;
use hyper_util::rt::TokioTimer;
use tokio::io::{AsyncRead, AsyncReadExt, Chain, Take};

const PREFACE: &[u8; 24] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

const STREAM_WINDOW: u32 = 64 << 10;
/// h2 closes a connection whose unread DATA frames exceed half of this, counting at least 256
/// bytes per frame. A stream window full of the smallest gRPC messages (5 bytes, one frame each)
/// counts as 3.2 MiB: flow control must slow it down, not close it.
const CONNECTION_WINDOW: u32 = 8 << 20;
const MAX_HEADER_LIST: u32 = 16 << 10;
const KEEP_ALIVE_INTERVAL: Duration = Duration::from_secs(10);
const KEEP_ALIVE_TIMEOUT: Duration = Duration::from_secs(5);
/// The resets that a peer may provoke. tonic's server passes `None`, which removes h2's limit and
/// lets one peer keep the server busy with resets (CVE-2025-8671).
const MAX_LOCAL_RESETS: usize = 1024;
/// The streams that a peer may reset before they are accepted (CVE-2023-44487). Above h2's
/// default of 20, because an edge that shares one connection among its callers resets many at once
/// when they disconnect.
const MAX_PENDING_RESETS: usize = 1024;

/// The bytes read to detect the protocol, followed by the rest of the connection.
pub(super) type Sniffed<R> = Chain<Take<Cursor<[u8; PREFACE.len()]>>, R>;

/// Reads at most 24 bytes to detect HTTP/2. The returned reader yields them again.
pub(super) async fn sniff<R: AsyncRead + Unpin>(mut reader: R) -> io::Result<(bool, Sniffed<R>)> {
    let mut head = [0; PREFACE.len()];
    let mut filled = 0;
    while filled < PREFACE.len() && head[..filled] == PREFACE[..filled] {
        match reader.read(&mut head[filled..]).await? {
            0 if filled == 0 => return Err(io::ErrorKind::UnexpectedEof.into()),
            0 => break,
            read => filled += read,
        }
    }
    let is_http2 = filled == PREFACE.len() && head == *PREFACE;
    Ok((
        is_http2,
        Cursor::new(head).take(filled as u64).chain(reader),
    ))
}

/// The settings of every HTTP/2 port.
pub(super) fn builder<E: Clone>(executor: E, max_streams: u32) -> Builder<E> {
    let mut builder = Builder::new(executor);
    builder
        .timer(TokioTimer::new())
        .max_concurrent_streams(max_streams)
        .initial_stream_window_size(STREAM_WINDOW)
        .initial_connection_window_size(CONNECTION_WINDOW)
        .max_header_list_size(MAX_HEADER_LIST)
        .max_local_error_reset_streams(Some(MAX_LOCAL_RESETS))
        .max_pending_accept_reset_streams(Some(MAX_PENDING_RESETS))
        .keep_alive_interval(Some(KEEP_ALIVE_INTERVAL))
        .keep_alive_timeout(KEEP_ALIVE_TIMEOUT);
    builder
}

#[cfg(test)]
mod tests {
    use tokio::io::AsyncWriteExt;

    use super::*;

    async fn round_trip(sent: &[u8]) -> (bool, Vec<u8>) {
        let (mut client, server) = tokio::io::duplex(7);
        let sent = sent.to_vec();
        let client = async move {
            client.write_all(&sent).await.unwrap();
            client.shutdown().await.unwrap();
        };
        let server = async {
            let (is_http2, mut sniffed) = sniff(server).await.unwrap();
            let mut read = Vec::new();
            sniffed.read_to_end(&mut read).await.unwrap();
            (is_http2, read)
        };
        tokio::join!(client, server).1
    }

    #[tokio::test]
    async fn a_preface_in_pieces_is_http2_and_no_byte_is_lost() {
        let sent = [PREFACE, b"frames".as_slice()].concat();
        assert_eq!(round_trip(&sent).await, (true, sent));
    }

    #[tokio::test]
    async fn any_other_bytes_are_http1_and_none_is_lost() {
        for sent in [
            "GET / HTTP/1.1\r\n\r\n",
            "PRI",
            "P",
            "PRI * HTTP/2.0\r\n\r\nXX\r\n\r\n",
        ] {
            let (http2, read) = round_trip(sent.as_bytes()).await;
            assert!(!http2);
            assert_eq!(read, sent.as_bytes());
        }
    }

    #[tokio::test]
    async fn a_peer_that_disconnects_without_a_byte_is_an_error() {
        let (client, server) = tokio::io::duplex(7);
        drop(client);
        assert!(sniff(server).await.is_err());
    }
}
