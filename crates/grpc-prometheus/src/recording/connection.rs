//! A server's connection, counted while it is open.

use std::sync::Arc;

use crate::series::Connections;

/// An open connection, counted from creation to drop.
///
/// Created by [`ServerMetrics::connection`](crate::ServerMetrics::connection) around a stream, or
/// around `()` if the accept loop only needs a guard. With the feature `connections` it implements
/// the stream's `AsyncRead` and `AsyncWrite`, and tonic's `serve_with_incoming` accepts it.
#[derive(Debug)]
pub struct Connection<IO> {
    io: IO,
    /// Declared after the stream, so dropped after it.
    _open: Open,
}

#[derive(Debug)]
struct Open(Arc<Connections>);

// === impl Connection ===

impl<IO> Connection<IO> {
    pub(crate) fn new(connections: Arc<Connections>, io: IO) -> Self {
        connections.open();
        Self {
            io,
            _open: Open(connections),
        }
    }

    /// The inner stream.
    pub const fn get_ref(&self) -> &IO {
        &self.io
    }
}

#[cfg(feature = "connections")]
mod io {
    use std::{
        io::{self, IoSlice},
        pin::Pin,
        task::{Context, Poll},
    };

    use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
    use tonic::transport::server::Connected;

    use super::Connection;

    impl<IO: AsyncRead + Unpin> AsyncRead for Connection<IO> {
        fn poll_read(
            mut self: Pin<&mut Self>,
            cx: &mut Context<'_>,
            buf: &mut ReadBuf<'_>,
        ) -> Poll<io::Result<()>> {
            Pin::new(&mut self.io).poll_read(cx, buf)
        }
    }

    impl<IO: AsyncWrite + Unpin> AsyncWrite for Connection<IO> {
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
            bufs: &[IoSlice<'_>],
        ) -> Poll<io::Result<usize>> {
            Pin::new(&mut self.io).poll_write_vectored(cx, bufs)
        }

        fn is_write_vectored(&self) -> bool {
            self.io.is_write_vectored()
        }
    }

    impl<IO: Connected> Connected for Connection<IO> {
        type ConnectInfo = IO::ConnectInfo;

        fn connect_info(&self) -> IO::ConnectInfo {
            self.io.connect_info()
        }
    }
}

// === impl Open ===

impl Drop for Open {
    fn drop(&mut self) {
        self.0.close();
    }
}
