//! The accept loop of REST, gRPC and scrape ports.

mod accept;
mod activity;
mod adapter;
mod connections;
mod http2;
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
use tokio::net::TcpListener;
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;
use tower::{BoxError, Service};

use self::accept::{Accept, Halves};
use self::activity::{Activity, MonitoredIo};
use self::adapter::Adapter;
use self::connections::{Connections, Drain};
use self::http2::Sniffed;
use self::overdue::CallExecutor;
use crate::methods::Methods;

/// The longest queue of connections that the kernel holds for `accept`.
const BACKLOG: i32 = 4096;
/// The pause after `accept` fails because the process is out of descriptors.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);
/// The timeout for a connection's first bytes, and for the headers of an HTTP/1 request.
const HEAD_TIMEOUT: Duration = Duration::from_secs(5);
const MAX_HEADERS: usize = 64;
const MAX_HEAD_BYTES: usize = 16 << 10;

/// A connection whose protocol is known.
type Connection<IO> = MonitoredIo<Join<Sniffed<<IO as Halves>::Read>, <IO as Halves>::Write>>;

/// The limits of a port.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Open connections. Further ones wait in the kernel's queue.
    pub connections: usize,
    /// Concurrent requests on one HTTP/2 connection. Further streams are refused.
    pub streams: u32,
    /// The longest unary call or REST request; `None` is unbounded.
    pub call: Option<Duration>,
    /// The longest streaming call; `None` is unbounded.
    pub stream: Option<Duration>,
}

/// A bound port.
#[derive(Debug)]
pub struct Listener {
    tcp: std::net::TcpListener,
    address: SocketAddr,
    limits: Limits,
    metrics: Option<ServerMetrics>,
}

/// The parts that every connection of a port shares.
#[derive(Clone, Debug)]
struct Acceptor<S> {
    service: S,
    methods: Arc<Methods>,
    limits: Limits,
    metrics: Option<ServerMetrics>,
}

// === impl Listener ===

impl Listener {
    /// Binds the port. Nothing is accepted before [`Listener::serve`]. Needs no runtime.
    ///
    /// # Errors
    ///
    /// If the system refuses the address.
    pub fn bind(address: SocketAddr, limits: Limits) -> io::Result<Self> {
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

    /// Counts the connections of this port in `metrics`.
    #[must_use]
    pub fn counted_by(mut self, metrics: ServerMetrics) -> Self {
        self.metrics = Some(metrics);
        self
    }

    /// The bound address, with the port that the system chose for port 0.
    pub const fn address(&self) -> SocketAddr {
        self.address
    }

    /// Serves connections until `drain` is cancelled, then closes each after its requests in
    /// progress. Returns when the last one has closed. A dropped future closes all of them.
    ///
    /// `methods` are the gRPC methods of the port, if it serves gRPC. `service` must always be
    /// ready.
    ///
    /// # Errors
    ///
    /// If the current runtime cannot register the socket.
    pub async fn serve<S, B>(
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
    async fn accept<A: Accept>(&self, incoming: A, connections: &mut Connections) -> Infallible {
        let slots = Arc::new(Semaphore::new(self.limits.connections));
        let mut failing = false;
        loop {
            let next = async {
                let slot = Arc::clone(&slots).acquire_owned().await;
                (slot, incoming.accept().await)
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
                Err(error) if is_of_connection(&error) => {}
                Err(error) => {
                    if !failing {
                        tracing::warn!(%error, "cannot accept connections, retrying");
                    }
                    failing = true;
                    // Retrying at once would spin.
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                }
            }
        }
    }

    async fn connection<IO: Halves>(self, io: IO, peer: SocketAddr, mut drain: Drain) {
        let _open = self.metrics.as_ref().map(|metrics| metrics.connection(()));
        let (read, write) = io.halves();
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
        let io = MonitoredIo::new(tokio::io::join(read, write), activity.clone());
        let ended = match is_http2 {
            true => serve_http2::<IO, _, _>(io, activity, adapter, &self.limits, drain).await,
            false => serve_http1::<IO, _, _>(io, adapter, drain).await,
        };
        if let Err(error) = ended {
            tracing::debug!(%peer, %error, "connection ended");
        }
    }
}

/// Whether the error concerns one connection. Other errors mean that a resource is exhausted.
fn is_of_connection(error: &io::Error) -> bool {
    use io::ErrorKind::{ConnectionAborted, ConnectionRefused, ConnectionReset, Interrupted};
    matches!(
        error.kind(),
        ConnectionAborted | ConnectionRefused | ConnectionReset | Interrupted
    )
}

async fn serve_http1<IO, S, B>(
    io: Connection<IO>,
    adapter: Adapter<S>,
    drain: Drain,
) -> hyper::Result<()>
where
    IO: Halves,
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

/// A drain ends when the peer has answered a last PING, which gives a distant peer its time. A
/// silent peer without calls is not waited for.
async fn serve_http2<IO, S, B>(
    io: Connection<IO>,
    activity: Activity,
    adapter: Adapter<S>,
    limits: &Limits,
    drain: Drain,
) -> hyper::Result<()>
where
    IO: Halves,
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

#[cfg(test)]
mod tests {
    use http_body_util::{BodyExt, Empty};
    use hyper::client::conn::{http1, http2};
    use hyper_util::rt::TokioExecutor;
    use tokio::io::{DuplexStream, ReadHalf, WriteHalf};
    use tokio::sync::{Mutex, mpsc};
    use tower::service_fn;

    use super::*;

    /// Accepts in-memory connections.
    struct Memory(Mutex<mpsc::Receiver<DuplexStream>>);

    impl Accept for Memory {
        type Io = DuplexStream;

        async fn accept(&self) -> io::Result<(DuplexStream, SocketAddr)> {
            match self.0.lock().await.recv().await {
                Some(io) => Ok((io, ([127, 0, 0, 1], 1).into())),
                None => std::future::pending().await,
            }
        }
    }

    impl Halves for DuplexStream {
        type Read = ReadHalf<Self>;
        type Write = WriteHalf<Self>;

        fn halves(self) -> (ReadHalf<Self>, WriteHalf<Self>) {
            tokio::io::split(self)
        }
    }

    /// Serves the HTTP version of each request over in-memory connections.
    fn serve_versions() -> mpsc::Sender<DuplexStream> {
        let (connect, connections) = mpsc::channel(1);
        let service = service_fn(async |request: Request<Incoming>| {
            let version = format!("{:?}", request.version());
            Ok::<_, Infallible>(Response::new(version))
        });
        let acceptor = Acceptor {
            service,
            methods: Arc::default(),
            limits: Limits {
                connections: 2,
                streams: 8,
                call: None,
                stream: None,
            },
            metrics: None,
        };
        tokio::spawn(async move {
            let incoming = Memory(Mutex::new(connections));
            acceptor.accept(incoming, &mut Connections::default()).await
        });
        connect
    }

    async fn connect(to: &mpsc::Sender<DuplexStream>) -> TokioIo<DuplexStream> {
        let (client, server) = tokio::io::duplex(1024);
        to.send(server).await.unwrap();
        TokioIo::new(client)
    }

    fn request() -> Request<Empty<Bytes>> {
        let request = Request::get("http://memory/").header("host", "memory");
        request.body(Empty::new()).unwrap()
    }

    async fn text(response: Response<Incoming>) -> Bytes {
        response.into_body().collect().await.unwrap().to_bytes()
    }

    #[tokio::test]
    async fn any_byte_stream_carries_http1_and_http2() {
        let server = serve_versions();
        let (mut http1, connection) = http1::handshake(connect(&server).await).await.unwrap();
        tokio::spawn(connection);
        let response = http1.send_request(request()).await.unwrap();
        assert_eq!(text(response).await, "HTTP/1.1");

        let io = connect(&server).await;
        let handshake = http2::handshake(TokioExecutor::new(), io).await;
        let (mut http2, connection) = handshake.unwrap();
        tokio::spawn(connection);
        let response = http2.send_request(request()).await.unwrap();
        assert_eq!(text(response).await, "HTTP/2.0");
    }
}
