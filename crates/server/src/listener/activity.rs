//! Tracks in-flight calls and I/O of a connection, to detect idle and stalled peers.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Sleep, sleep};

/// The longest time that a peer may leave written bytes unread.
const STALL_TIMEOUT: Duration = Duration::from_secs(60);
/// The time without calls and I/O after which a connection is silent.
const SILENCE: Duration = Duration::from_secs(2);

/// Counters of one connection. Clones share them.
#[derive(Clone, Debug, Default)]
pub(super) struct Activity(Arc<Counts>);

#[derive(Debug, Default)]
struct Counts {
    calls: AtomicUsize,
    moves: AtomicUsize,
}

/// A call in flight. Dropping it ends the call.
#[derive(Debug)]
pub(super) struct OpenCall(Activity);

/// Counts reads and writes. A write fails with `TimedOut`, which closes the connection, if the peer
/// reads nothing for [`STALL_TIMEOUT`].
#[derive(Debug)]
pub(super) struct MonitoredIo<IO> {
    io: IO,
    activity: Activity,
    stalled: Option<Pin<Box<Sleep>>>,
}

// === impl Activity ===

impl Activity {
    pub(super) fn call(&self) -> OpenCall {
        self.0.calls.fetch_add(1, Ordering::Relaxed);
        OpenCall(self.clone())
    }

    /// Resolves once no call was in flight and no byte moved for [`SILENCE`].
    pub(super) async fn silent(&self) {
        loop {
            let before = self.counts();
            sleep(SILENCE).await;
            if before.0 == 0 && before == self.counts() {
                return;
            }
        }
    }

    fn moved(&self) {
        self.0.moves.fetch_add(1, Ordering::Relaxed);
    }

    fn counts(&self) -> (usize, usize) {
        let Counts { calls, moves } = &*self.0;
        (calls.load(Ordering::Relaxed), moves.load(Ordering::Relaxed))
    }
}

// === impl OpenCall ===

impl Drop for OpenCall {
    fn drop(&mut self) {
        self.0.0.calls.fetch_sub(1, Ordering::Relaxed);
    }
}

// === impl MonitoredIo ===

impl<IO> MonitoredIo<IO> {
    pub(super) const fn new(io: IO, activity: Activity) -> Self {
        Self {
            io,
            activity,
            stalled: None,
        }
    }

    fn written(
        &mut self,
        cx: &mut Context<'_>,
        written: Poll<io::Result<usize>>,
    ) -> Poll<io::Result<usize>> {
        if written.is_ready() {
            self.stalled = None;
            self.activity.moved();
            return written;
        }
        let timer = || Box::pin(sleep(STALL_TIMEOUT));
        ready!(self.stalled.get_or_insert_with(timer).as_mut().poll(cx));
        Poll::Ready(Err(io::ErrorKind::TimedOut.into()))
    }
}

impl<IO: AsyncRead + Unpin> AsyncRead for MonitoredIo<IO> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let read = Pin::new(&mut self.io).poll_read(cx, buf);
        if read.is_ready() {
            self.activity.moved();
        }
        read
    }
}

impl<IO: AsyncWrite + Unpin> AsyncWrite for MonitoredIo<IO> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.io).poll_write(cx, buf);
        self.written(cx, written)
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
        let written = Pin::new(&mut self.io).poll_write_vectored(cx, bufs);
        self.written(cx, written)
    }

    fn is_write_vectored(&self) -> bool {
        self.io.is_write_vectored()
    }
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;

    use bytes::Bytes;
    use futures_util::stream;
    use http::Response;
    use hyper::service::service_fn;
    use hyper_util::rt::TokioIo;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::time::{Instant, timeout};

    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[tokio::test(start_paused = true)]
    async fn a_connection_is_silent_two_seconds_after_its_last_call_or_byte() {
        let activity = Activity::default();
        let call = activity.call();
        assert!(timeout(3600 * SECOND, activity.silent()).await.is_err());
        drop(call);
        let begun = Instant::now();
        activity.silent().await;
        assert_eq!(begun.elapsed(), SILENCE);

        let (mut peer, io) = tokio::io::duplex(64);
        let mut io = MonitoredIo::new(io, activity.clone());
        let says_a_byte_a_second = async {
            loop {
                sleep(SECOND).await;
                peer.write_u8(0).await.unwrap();
            }
        };
        let reads = async { while io.read_u8().await.is_ok() {} };
        tokio::select! {
            () = activity.silent() => panic!("a byte came each second"),
            _ = timeout(3600 * SECOND, says_a_byte_a_second) => {}
            () = reads => panic!("the peer is there"),
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_write_fails_after_the_peer_reads_nothing_for_a_minute() {
        let (_peer, io) = tokio::io::duplex(64);
        let mut io = MonitoredIo::new(io, Activity::default());
        let begun = Instant::now();
        let stalled = timeout(3600 * SECOND, io.write_all(&[0; 65])).await;
        assert_eq!(
            stalled.unwrap().unwrap_err().kind(),
            io::ErrorKind::TimedOut
        );
        assert_eq!(begun.elapsed(), STALL_TIMEOUT);
    }

    #[tokio::test(start_paused = true)]
    async fn an_unread_http1_download_ends_after_a_minute() {
        let (mut peer, io) = tokio::io::duplex(1 << 10);
        let endless = service_fn(|_| async {
            let rows = stream::repeat_with(|| Ok::<_, Infallible>(Bytes::from_static(&[b'1'; 99])));
            Ok::<_, Infallible>(Response::new(axum::body::Body::from_stream(rows)))
        });
        let io = TokioIo::new(MonitoredIo::new(io, Activity::default()));
        let connection = hyper::server::conn::http1::Builder::new().serve_connection(io, endless);
        peer.write_all(b"GET / HTTP/1.1\r\nhost: a\r\n\r\n")
            .await
            .unwrap();
        let begun = Instant::now();
        assert!(timeout(3600 * SECOND, connection).await.unwrap().is_err());
        assert_eq!(begun.elapsed(), STALL_TIMEOUT);
    }

    #[tokio::test(start_paused = true)]
    async fn a_peer_that_reads_a_byte_each_59_seconds_is_not_stalled() {
        let (mut peer, io) = tokio::io::duplex(1);
        let mut io = MonitoredIo::new(io, Activity::default());
        let reads = async {
            for _ in 0..100 {
                sleep(59 * SECOND).await;
                peer.read_u8().await.unwrap();
            }
        };
        let (written, ()) = tokio::join!(io.write_all(&[0; 100]), reads);
        written.unwrap();
    }
}
