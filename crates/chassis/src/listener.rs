//! The one accept loop, for REST, gRPC and scrape ports alike.

mod activity;
mod adapter;
mod connections;
mod overdue;

use std::convert::Infallible;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use grpc_prometheus::ServerMetrics;
use http::{Request, Response};
use http_body::Body;
use hyper::body::Incoming;
use hyper_util::rt::{TokioIo, TokioTimer};
use socket2::{Domain, Protocol, Socket, Type};
use tokio::io::Join;
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;
use tower::Service;

use self::activity::{Activity, Watched};
use self::adapter::Adapter;
use self::connections::{Connections, Drain};
use self::overdue::CallExecutor;
use crate::http2::{self, Sniffed};
use crate::methods::Methods;
use crate::stack::BoxError;

/// Connections that the kernel holds until they are accepted.
const BACKLOG: i32 = 4096;
/// How long to leave the listener alone when the process is out of descriptors.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);
/// How long a peer may take to say its first byte, and to finish a request's head.
const HEAD_TIMEOUT: Duration = Duration::from_secs(5);
const MAX_HEADERS: usize = 64;
const MAX_HEAD_BYTES: usize = 16 << 10;

/// A connection whose first bytes have been looked at.
type Connection = Watched<Join<Sniffed<OwnedReadHalf>, OwnedWriteHalf>>;

/// What a port allows its peers.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Limits {
    /// Open connections; the next one waits in the backlog.
    pub(crate) connections: usize,
    /// Requests in progress on one HTTP/2 connection; the next one is refused.
    pub(crate) streams: u32,
    /// How long a call may take unless it streams.
    pub(crate) call: Option<Duration>,
    /// How long a streaming call may take.
    pub(crate) stream: Option<Duration>,
}

/// A bound port that is not served yet.
#[derive(Debug)]
pub(crate) struct Listener {
    tcp: std::net::TcpListener,
    address: SocketAddr,
    limits: Limits,
    metrics: Option<ServerMetrics>,
}

/// What one accept loop needs besides its listener.
#[derive(Clone, Debug)]
struct Acceptor<S> {
    service: S,
    methods: Arc<Methods>,
    limits: Limits,
    metrics: Option<ServerMetrics>,
}

// === impl Listener ===

impl Listener {
    /// Binds the port; nothing is accepted before [`Listener::serve`]. Needs no runtime.
    pub(crate) fn bind(address: SocketAddr, limits: Limits) -> io::Result<Self> {
        let domain = Domain::for_address(address);
        let socket = Socket::new(domain, Type::STREAM, Some(Protocol::TCP))?;
        socket.set_reuse_address(true)?;
        socket.set_nonblocking(true)?;
        socket.bind(&address.into())?;
        socket.listen(BACKLOG)?;
        let tcp = std::net::TcpListener::from(socket);
        Ok(Self {
            address: tcp.local_addr()?,
            tcp,
            limits,
            metrics: None,
        })
    }

    /// Counts this port's connections from now on.
    pub(crate) fn counted_by(mut self, metrics: ServerMetrics) -> Self {
        self.metrics = Some(metrics);
        self
    }

    /// The bound address, with the port that the system chose for port 0.
    pub(crate) const fn address(&self) -> SocketAddr {
        self.address
    }

    /// Accepts until `drain` is cancelled, then ends each connection after the requests that it
    /// is busy with. Returns when the last one has ended; dropped earlier, it closes them all.
    ///
    /// Fails only where the running runtime cannot take the socket.
    pub(crate) async fn serve<S, B>(
        self,
        service: S,
        methods: Arc<Methods>,
        drain: CancellationToken,
    ) -> io::Result<()>
    where
        S: Service<Request<Incoming>, Response = Response<B>, Error: Into<BoxError>, Future: Send>
            + Clone
            + Send
            + Sync
            + 'static,
        B: Body<Data = Bytes, Error: Into<BoxError>> + Send + 'static,
    {
        let acceptor = Acceptor {
            service,
            methods,
            limits: self.limits,
            metrics: self.metrics,
        };
        let tcp = TcpListener::from_std(self.tcp)?;
        let mut connections = Connections::default();
        tokio::select! {
            never = acceptor.accept(tcp, &mut connections) => match never {},
            () = drain.cancelled() => connections.drain().await,
        }
        Ok(())
    }
}

// === impl Acceptor ===

impl<S, B> Acceptor<S>
where
    S: Service<Request<Incoming>, Response = Response<B>, Error: Into<BoxError>, Future: Send>
        + Clone
        + Send
        + Sync
        + 'static,
    B: Body<Data = Bytes, Error: Into<BoxError>> + Send + 'static,
{
    async fn accept(&self, tcp: TcpListener, connections: &mut Connections) -> Infallible {
        let slots = Arc::new(Semaphore::new(self.limits.connections));
        let mut failing = false;
        loop {
            let next = async {
                let slot = Arc::clone(&slots).acquire_owned().await;
                (slot, tcp.accept().await)
            };
            let (slot, accepted) = tokio::select! {
                next = next => next,
                () = connections.ended() => continue,
            };
            match accepted {
                Ok((stream, peer)) => {
                    if std::mem::take(&mut failing) {
                        tracing::info!("accepting connections again");
                    }
                    let acceptor = self.clone();
                    connections.spawn(|drain| async move {
                        acceptor.connection(stream, peer, drain).await;
                        drop(slot);
                    });
                }
                Err(error) if is_peers(&error) => {}
                Err(error) => {
                    if !failing {
                        tracing::warn!(%error, "cannot accept connections, trying on");
                    }
                    failing = true;
                    // Accepting again at once would only spin.
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                }
            }
        }
    }

    async fn connection(self, stream: TcpStream, peer: SocketAddr, mut drain: Drain) {
        let _open = self.metrics.as_ref().map(|metrics| metrics.connection(()));
        // Without it, small answers wait for the peer's delayed ACK. It only fails on a
        // connection that is already gone.
        let _ = stream.set_nodelay(true);
        let (read, write) = stream.into_split();
        let sniffed = tokio::select! {
            sniffed = tokio::time::timeout(HEAD_TIMEOUT, http2::sniff(read)) => sniffed,
            _ = &mut drain => return,
        };
        let Ok(Ok((is_http2, read))) = sniffed else {
            return;
        };
        let adapter = Adapter {
            service: self.service,
            peer,
            methods: self.methods,
            limits: self.limits,
        };
        let activity = Activity::default();
        let io = Watched::new(tokio::io::join(read, write), activity.clone());
        let ended = match is_http2 {
            true => serve_http2(io, activity, adapter, &self.limits, drain).await,
            false => serve_http1(io, adapter, drain).await,
        };
        if let Err(error) = ended {
            tracing::debug!(%peer, %error, "connection ended");
        }
    }
}

/// Whether the error is one connection's. The others mean that the process is out of something.
fn is_peers(error: &io::Error) -> bool {
    use io::ErrorKind::{ConnectionAborted, ConnectionRefused, ConnectionReset, Interrupted};
    matches!(
        error.kind(),
        ConnectionAborted | ConnectionRefused | ConnectionReset | Interrupted
    )
}

async fn serve_http1<S, B>(io: Connection, adapter: Adapter<S>, drain: Drain) -> hyper::Result<()>
where
    Adapter<S>:
        hyper::service::Service<Request<Incoming>, Response = Response<B>, Error: Into<BoxError>>,
    B: Body<Data = Bytes, Error: Into<BoxError>> + Send + 'static,
{
    let mut builder = hyper::server::conn::http1::Builder::new();
    builder
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_TIMEOUT)
        .max_headers(MAX_HEADERS)
        .max_buf_size(MAX_HEAD_BYTES);
    let mut connection = std::pin::pin!(builder.serve_connection(TokioIo::new(io), adapter));
    tokio::select! {
        biased;
        ended = &mut connection => return ended,
        _ = drain => connection.as_mut().graceful_shutdown(),
    }
    connection.await
}

/// Told to end, it ends when the peer has answered a last PING, for which one that is only far away
/// gets its time; one that says nothing and waits for nothing is not waited for.
async fn serve_http2<S, B>(
    io: Connection,
    activity: Activity,
    adapter: Adapter<S>,
    limits: &Limits,
    drain: Drain,
) -> hyper::Result<()>
where
    Adapter<S>: hyper::service::Service<
            Request<Incoming>,
            Response = Response<B>,
            Error: Into<BoxError>,
            Future: Send + 'static,
        >,
    B: Body<Data = Bytes, Error: Into<BoxError>> + Send + 'static,
{
    let builder = http2::builder(CallExecutor(activity.clone()), limits.streams);
    let mut connection = std::pin::pin!(builder.serve_connection(TokioIo::new(io), adapter));
    tokio::select! {
        biased;
        ended = &mut connection => return ended,
        _ = drain => connection.as_mut().graceful_shutdown(),
    }
    tokio::select! {
        biased;
        ended = connection => ended,
        () = activity.silent() => Ok(()),
    }
}
