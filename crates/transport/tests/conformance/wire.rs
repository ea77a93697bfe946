//! The far end of a transport's connections: in memory or over loopback TCP.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll};

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use http::Uri;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite, DuplexStream, duplex};
use tokio::net::TcpListener;
use tokio::sync::{mpsc, oneshot};
use tower::Service;

use crate::peer::Peer;

/// As much as a pipe in memory holds in each direction.
const PIPE: usize = 64 << 10;

/// The peer's end of one connection.
pub(crate) type Io = Box<dyn ReadWrite>;

pub(crate) trait ReadWrite: AsyncRead + AsyncWrite + Send + Unpin {}

impl<T: AsyncRead + AsyncWrite + Send + Unpin> ReadWrite for T {}

/// Where a transport's connections arrive.
#[derive(Debug)]
pub(crate) enum Wire {
    Memory {
        dials: mpsc::UnboundedReceiver<Dial>,
        attempts: Arc<AtomicUsize>,
    },
    Tcp {
        listener: TcpListener,
        accepted: usize,
    },
}

/// An attempt to connect in memory, which waits until it is accepted or refused.
#[derive(Debug)]
pub(crate) struct Dial {
    answer: oneshot::Sender<io::Result<DuplexStream>>,
}

/// Connects in memory.
#[derive(Clone, Debug)]
pub(crate) struct Connector {
    dials: mpsc::UnboundedSender<Dial>,
    attempts: Arc<AtomicUsize>,
}

// === impl Wire ===

impl Wire {
    pub(crate) fn memory() -> (Self, Connector) {
        let (sender, dials) = mpsc::unbounded_channel();
        let attempts = Arc::new(AtomicUsize::new(0));
        let connector = Connector {
            dials: sender,
            attempts: Arc::clone(&attempts),
        };
        (Self::Memory { dials, attempts }, connector)
    }

    pub(crate) fn tcp() -> Self {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        listener.set_nonblocking(true).unwrap();
        Self::Tcp {
            listener: TcpListener::from_std(listener).unwrap(),
            accepted: 0,
        }
    }

    /// The authority that the transport connects to.
    pub(crate) fn authority(&self) -> String {
        match self {
            Self::Memory { .. } => "upstream.test:50051".to_owned(),
            Self::Tcp { listener, .. } => listener.local_addr().unwrap().to_string(),
        }
    }

    /// The next connection, before the peer has sent anything.
    pub(crate) async fn io(&mut self) -> Io {
        match self {
            Self::Memory { .. } => self.dial().await.accept(),
            Self::Tcp { listener, accepted } => {
                let (stream, _) = listener.accept().await.unwrap();
                stream.set_nodelay(true).unwrap();
                *accepted += 1;
                Box::new(stream)
            }
        }
    }

    /// The next connection, with a peer that acknowledges SETTINGS and PING.
    pub(crate) async fn accept(&mut self) -> Peer {
        Peer::new(self.io().await, &[])
    }

    /// The next attempt to connect that the transport has not given up. In memory alone.
    pub(crate) async fn dial(&mut self) -> Dial {
        let Self::Memory { dials, .. } = self else {
            panic!("the kernel accepts on its own");
        };
        loop {
            let dial = dials.recv().await.unwrap();
            if !dial.answer.is_closed() {
                return dial;
            }
        }
    }

    /// The connections so far: attempted in memory, accepted or waiting to be over TCP.
    pub(crate) async fn attempts(&mut self) -> usize {
        match self {
            Self::Memory { attempts, .. } => attempts.load(Ordering::Relaxed),
            Self::Tcp { listener, accepted } => {
                while let Some(waiting) = listener.accept().now_or_never() {
                    waiting.unwrap();
                    *accepted += 1;
                }
                *accepted
            }
        }
    }
}

// === impl Dial ===

impl Dial {
    pub(crate) fn accept(self) -> Io {
        let (ours, theirs) = duplex(PIPE);
        // The transport may have given up.
        let _ = self.answer.send(Ok(theirs));
        Box::new(ours)
    }

    pub(crate) fn refuse(self) {
        let refused = io::Error::new(io::ErrorKind::ConnectionRefused, "refused by the test");
        let _ = self.answer.send(Err(refused));
    }
}

// === impl Connector ===

impl Service<Uri> for Connector {
    type Response = TokioIo<DuplexStream>;
    type Error = io::Error;
    type Future = BoxFuture<'static, io::Result<TokioIo<DuplexStream>>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, _: Uri) -> Self::Future {
        self.attempts.fetch_add(1, Ordering::Relaxed);
        let (answer, answered) = oneshot::channel();
        let sent = self.dials.send(Dial { answer });
        async move {
            sent.map_err(|_| io::ErrorKind::ConnectionRefused)?;
            let answer = answered.await.map_err(|_| io::ErrorKind::ConnectionReset)?;
            answer.map(TokioIo::new)
        }
        .boxed()
    }
}
