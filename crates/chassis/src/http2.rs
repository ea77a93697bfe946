//! HTTP/2 on the server: how it is told from HTTP/1, and its settings.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use hyper::server::conn::http2::Builder;
use hyper_util::rt::TokioTimer;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, ReadBuf};

const PREFACE: &[u8; 24] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

const STREAM_WINDOW: u32 = 64 << 10;
/// h2 ends a connection whose unread DATA frames add up to more than half of this, and counts
/// 256 bytes at least for each. A stream full of the smallest gRPC messages, of 5 bytes and a
/// frame each, comes to 3.2 MiB: it has to be slowed down by its window, not cut.
const CONNECTION_WINDOW: u32 = 8 << 20;
const MAX_HEADER_LIST: u32 = 16 << 10;
const KEEP_ALIVE_INTERVAL: Duration = Duration::from_secs(10);
const KEEP_ALIVE_TIMEOUT: Duration = Duration::from_secs(5);
/// Streams that a peer may make us reset. tonic's server passes `None`, which lifts h2's limit
/// and lets one peer keep the server busy with resets (CVE-2025-8671).
const MAX_LOCAL_RESETS: usize = 1024;
/// Streams that a peer may open and reset before they are accepted (CVE-2023-44487). Above
/// h2's 20, because an edge that shares one connection among its callers resets many at once
/// when they hang up.
const MAX_PENDING_RESETS: usize = 1024;

/// A connection whose first bytes have been read to learn its protocol; it gives them back.
#[derive(Debug)]
pub(crate) struct Sniffed<IO> {
    head: [u8; PREFACE.len()],
    filled: usize,
    given: usize,
    io: IO,
}

/// Reads until it is certain whether the peer speaks HTTP/2: at most 24 bytes.
pub(crate) async fn sniff<IO: AsyncRead + Unpin>(mut io: IO) -> io::Result<Sniffed<IO>> {
    let mut head = [0; PREFACE.len()];
    let mut filled = 0;
    while filled < PREFACE.len() && head[..filled] == PREFACE[..filled] {
        match io.read(&mut head[filled..]).await? {
            0 if filled == 0 => return Err(io::ErrorKind::UnexpectedEof.into()),
            0 => break,
            read => filled += read,
        }
    }
    Ok(Sniffed {
        head,
        filled,
        given: 0,
        io,
    })
}

/// The settings of every HTTP/2 port.
pub(crate) fn builder<E: Clone>(executor: E, max_streams: u32) -> Builder<E> {
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

// === impl Sniffed ===

impl<IO> Sniffed<IO> {
    pub(crate) fn is_http2(&self) -> bool {
        self.filled == PREFACE.len() && self.head == *PREFACE
    }
}

impl<IO: AsyncRead + Unpin> AsyncRead for Sniffed<IO> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = &mut *self;
        let held = &this.head[this.given..this.filled];
        if held.is_empty() {
            return Pin::new(&mut this.io).poll_read(cx, buf);
        }
        let fits = held.len().min(buf.remaining());
        buf.put_slice(&held[..fits]);
        this.given += fits;
        Poll::Ready(Ok(()))
    }
}

impl<IO: AsyncWrite + Unpin> AsyncWrite for Sniffed<IO> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.io).poll_write(cx, buf)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_shutdown(cx)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.io).poll_write_vectored(cx, bufs)
    }

    fn is_write_vectored(&self) -> bool {
        self.io.is_write_vectored()
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::AsyncWriteExt;

    use super::*;

    async fn round_trip(said: &[u8]) -> (bool, Vec<u8>) {
        let (mut client, server) = tokio::io::duplex(7);
        let said = said.to_vec();
        let client = async move {
            client.write_all(&said).await.unwrap();
            client.shutdown().await.unwrap();
        };
        let server = async {
            let mut sniffed = sniff(server).await.unwrap();
            let mut read = Vec::new();
            sniffed.read_to_end(&mut read).await.unwrap();
            (sniffed.is_http2(), read)
        };
        tokio::join!(client, server).1
    }

    #[tokio::test]
    async fn the_preface_in_pieces_is_http2_and_nothing_is_lost() {
        let said = [PREFACE, b"frames".as_slice()].concat();
        assert_eq!(round_trip(&said).await, (true, said));
    }

    #[tokio::test]
    async fn anything_else_is_http1_and_nothing_is_lost() {
        for said in [
            "GET / HTTP/1.1\r\n\r\n",
            "PRI",
            "P",
            "PRI * HTTP/2.0\r\n\r\nXX\r\n\r\n",
        ] {
            let (http2, read) = round_trip(said.as_bytes()).await;
            assert!(!http2);
            assert_eq!(read, said.as_bytes());
        }
    }

    #[tokio::test]
    async fn a_peer_that_says_nothing_and_leaves_is_an_error() {
        let (client, server) = tokio::io::duplex(7);
        drop(client);
        assert!(sniff(server).await.is_err());
    }
}
