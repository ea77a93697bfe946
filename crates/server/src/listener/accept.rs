//! Sources of connections: TCP, or any other byte stream that has two halves.

use std::future::Future;
use std::io;
use std::net::SocketAddr;

use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};

/// Accepts connections.
pub(super) trait Accept {
    type Io: Halves;

    /// The next connection and its peer's address.
    fn accept(&self) -> impl Future<Output = io::Result<(Self::Io, SocketAddr)>> + Send;
}

/// A byte stream that is read and written independently.
pub(super) trait Halves: Send + 'static {
    type Read: AsyncRead + Unpin + Send + 'static;
    type Write: AsyncWrite + Unpin + Send + 'static;

    fn halves(self) -> (Self::Read, Self::Write);
}

/// Closes a port; returns the connections that the kernel has queued for `accept`.
pub(super) fn queued(tcp: TcpListener) -> io::Result<Vec<(TcpStream, SocketAddr)>> {
    let tcp = tcp.into_std()?;
    refuse_further(&tcp);
    let mut queued = Vec::new();
    loop {
        match tcp.accept() {
            Ok((stream, peer)) => {
                stream.set_nonblocking(true)?;
                queued.push((TcpStream::from_std(stream)?, peer));
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(queued),
            Err(error) if super::is_of_connection(&error) => {}
            Err(error) => {
                tracing::warn!(%error, "cannot accept the last connections");
                return Ok(queued);
            }
        }
    }
}

/// Drops further connection attempts in the kernel. Without it, a connection that is established
/// between the last `accept` and `close` is reset, and its request is lost. The client's next
/// attempt, 1 s later, is refused as usual.
#[cfg(target_os = "linux")]
fn refuse_further(tcp: &std::net::TcpListener) {
    use libc::{BPF_ABS, BPF_ALU, BPF_AND, BPF_B, BPF_JEQ, BPF_JMP, BPF_K, BPF_LD, BPF_RET};
    use socket2::{SockFilter, SockRef};

    /// The offset of the flags in a TCP header, and two of them.
    const FLAGS: u32 = 13;
    const SYN: u32 = 0x02;
    const ACK: u32 = 0x10;
    let step = |code: u32, skip_if_true, skip_if_false, operand| {
        let code = u16::try_from(code).unwrap_or_default();
        SockFilter::new(code, skip_if_true, skip_if_false, operand)
    };
    let filter = [
        step(BPF_LD | BPF_B | BPF_ABS, 0, 0, FLAGS),
        step(BPF_ALU | BPF_AND | BPF_K, 0, 0, SYN | ACK),
        step(BPF_JMP | BPF_JEQ | BPF_K, 0, 1, SYN),
        step(BPF_RET | BPF_K, 0, 0, 0),
        step(BPF_RET | BPF_K, 0, 0, u32::MAX),
    ];
    // If the kernel has no filters, the window between `accept` and `close` stays open.
    let _ = SockRef::from(tcp).attach_filter(&filter);
}

#[cfg(not(target_os = "linux"))]
fn refuse_further(_: &std::net::TcpListener) {}

impl Accept for TcpListener {
    type Io = TcpStream;

    async fn accept(&self) -> io::Result<(TcpStream, SocketAddr)> {
        Self::accept(self).await
    }
}

impl Halves for TcpStream {
    type Read = OwnedReadHalf;
    type Write = OwnedWriteHalf;

    fn halves(self) -> (OwnedReadHalf, OwnedWriteHalf) {
        // Without it, small responses wait for the peer's delayed ACK. It fails only on a
        // connection that is already closed.
        let _ = self.set_nodelay(true);
        self.into_split()
    }
}
