//! The accept loop of REST, gRPC and scrape ports.

mod accept;
mod activity;
mod adapter;
mod connections;
mod head;
mod http2;
mod overdue;
mod protocol;
mod shutdown;
mod slash;

use std::convert::Infallible;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use bytes::Bytes;
use grpc_prometheus::ServerMetrics;
use http::{Request, Response};
use http_body::Body;
use hyper::body::Incoming;
use socket2::{Domain, Protocol, Socket, Type};
use tokio::net::TcpListener;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{sleep, timeout};
use tower::{BoxError, Service};

use self::accept::{Accept, Halves};
use self::activity::{Activity, MonitoredIo};
use self::adapter::Adapter;
use self::connections::{Connections, Signals};
use self::protocol::{serve_http1, serve_http2};
pub use self::shutdown::Shutdown;
use crate::methods::Methods;

/// The longest queue of connections that the kernel holds for `accept`.
const BACKLOG: i32 = 4096;
/// The pause after `accept` fails because the process is out of descriptors.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);
/// The timeout for a connection's first bytes, and for the headers of an HTTP/1 request.
const HEAD_TIMEOUT: Duration = Duration::from_secs(5);
/// The timeout for the first bytes of a connection that was accepted just before the drain.
const DRAIN_FIRST_BYTES_TIMEOUT: Duration = Duration::from_millis(250);

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
    /// One for each further connection.
    slots: Arc<Semaphore>,
    closing: Arc<AtomicBool>,
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

    /// Serves connections until `shutdown` begins to drain, then closes each after its requests in
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
        shutdown: Shutdown,
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
            slots: Arc::new(Semaphore::new(self.limits.connections)),
            closing: Arc::default(),
        };
        let tcp = TcpListener::from_std(self.tcp)?;
        let mut connections = Connections::default();
        acceptor.serve(&tcp, &mut connections, &shutdown).await;
        // Their clients are connected already, and may have sent a request.
        for (stream, peer) in accept::queued(tcp)? {
            acceptor.spawn(stream, peer, None, &mut connections);
        }
        connections.drain().await;
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
    /// Accepts connections until `shutdown` begins to drain.
    async fn serve<A: Accept>(
        &self,
        incoming: &A,
        connections: &mut Connections,
        shutdown: &Shutdown,
    ) {
        tokio::select! {
            never = self.accept(incoming, connections) => match never {},
            () = shutdown.lame_duck() => {}
        }
        self.closing.store(true, Ordering::Relaxed);
        connections.begin_lame_duck();
        tokio::select! {
            never = self.accept(incoming, connections) => match never {},
            () = shutdown.drain() => {}
        }
    }

    async fn accept<A: Accept>(&self, incoming: &A, connections: &mut Connections) -> Infallible {
        let mut failing = false;
        loop {
            let next = async {
                let slot = Arc::clone(&self.slots).acquire_owned().await;
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
                    self.spawn(stream, peer, slot.ok(), connections);
                }
                Err(error) if is_of_connection(&error) => {}
                Err(error) => {
                    if !failing {
                        tracing::warn!(%error, "cannot accept connections, retrying");
                    }
                    failing = true;
                    // Retrying at once would spin.
                    sleep(ACCEPT_PAUSE).await;
                }
            }
        }
    }

    fn spawn<IO: Halves>(
        &self,
        io: IO,
        peer: SocketAddr,
        slot: Option<OwnedSemaphorePermit>,
        connections: &mut Connections,
    ) {
        let acceptor = self.clone();
        connections.spawn(|signals| async move {
            acceptor.connection(io, peer, signals).await;
            drop(slot);
        });
    }

    async fn connection<IO: Halves>(self, io: IO, peer: SocketAddr, mut signals: Signals) {
        let _open = self.metrics.as_ref().map(|metrics| metrics.connection(()));
        let (read, write) = io.halves();
        let first_bytes_timeout = async {
            let drain = timeout(HEAD_TIMEOUT, &mut signals.drain);
            if drain.await.is_ok() {
                sleep(DRAIN_FIRST_BYTES_TIMEOUT).await;
            }
        };
        let sniffed = tokio::select! {
            biased;
            sniffed = http2::sniff(read) => sniffed,
            () = first_bytes_timeout => return,
        };
        let Ok((is_http2, read)) = sniffed else {
            return;
        };
        let adapter = Adapter {
            service: self.service,
            peer,
            methods: self.methods,
            limits: self.limits,
            closing: self.closing,
        };
        let activity = Activity::default();
        let io = MonitoredIo::new(tokio::io::join(read, write), activity.clone());
        let ended = match is_http2 {
            true => serve_http2::<IO, _, _>(io, activity, adapter, &self.limits, signals).await,
            false => serve_http1::<IO, _, _>(io, adapter, signals).await,
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

#[cfg(test)]
mod tests {
    use http_body_util::{BodyExt, Empty};
    use hyper::client::conn::{http1, http2};
    use hyper_util::rt::{TokioExecutor, TokioIo};
    use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream, ReadHalf, WriteHalf};
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
    fn serve_versions(shutdown: Shutdown) -> mpsc::Sender<DuplexStream> {
        let (connect, connections) = mpsc::channel(1);
        let service = service_fn(async |request: Request<Incoming>| {
            let version = format!("{:?}", request.version());
            let response = Response::builder().header("target", request.uri().to_string());
            Ok::<_, Infallible>(response.body(version).unwrap())
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
            slots: Arc::new(Semaphore::new(2)),
            closing: Arc::default(),
        };
        tokio::spawn(async move {
            let incoming = Memory(Mutex::new(connections));
            let accepted = &mut Connections::default();
            acceptor.serve(&incoming, accepted, &shutdown).await;
            accepted.drain().await;
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
        let server = serve_versions(Shutdown::default());
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

    /// Reads frames until one has this type; returns its stream and payload.
    async fn frame(io: &mut DuplexStream, wanted: u8) -> (u32, Vec<u8>) {
        loop {
            let mut head = [0; 9];
            io.read_exact(&mut head).await.unwrap();
            let mut payload = vec![0; usize::from(head[1]) << 8 | usize::from(head[2])];
            io.read_exact(&mut payload).await.unwrap();
            if head[3] == wanted {
                let stream = u32::from_be_bytes(head[5..].try_into().unwrap());
                return (stream, payload);
            }
        }
    }

    /// HEADERS of a GET with END_STREAM and END_HEADERS: method, scheme, path, authority `a`.
    fn http2_get(stream: u8) -> Vec<u8> {
        let block = [0x82, 0x86, 0x84, 0x41, 0x01, b'a'];
        [&[0, 0, 6, 1, 5, 0, 0, 0, stream], block.as_slice()].concat()
    }

    #[tokio::test]
    async fn http2_gets_the_first_goaway_in_the_lame_duck_and_new_calls_until_it_is_read() {
        const HEADERS: u8 = 1;
        const PING: u8 = 6;
        const GOAWAY: u8 = 7;
        const LAST_STREAM_UNKNOWN: [u8; 8] = [0x7f, 0xff, 0xff, 0xff, 0, 0, 0, 0];
        let shutdown = Shutdown::default();
        let server = serve_versions(shutdown.clone());
        let mut io = connect(&server).await.into_inner();
        io.write_all(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0")
            .await
            .unwrap();
        io.write_all(&http2_get(1)).await.unwrap();
        assert_eq!(frame(&mut io, HEADERS).await.0, 1);

        shutdown.begin_lame_duck();
        assert_eq!(frame(&mut io, GOAWAY).await.1, LAST_STREAM_UNKNOWN);
        let (_, ping) = frame(&mut io, PING).await;
        // This client reads no GOAWAY: as if it were still on its way.
        for stream in [3, 5] {
            io.write_all(&http2_get(stream)).await.unwrap();
            assert_eq!(frame(&mut io, HEADERS).await.0, u32::from(stream));
        }
        let ack = [&[0, 0, 8, PING, 1, 0, 0, 0, 0], ping.as_slice()].concat();
        io.write_all(&ack).await.unwrap();
        let (_, last) = frame(&mut io, GOAWAY).await;
        assert_eq!(last, [0, 0, 0, 5, 0, 0, 0, 0]);
        assert_eq!(io.read(&mut [0]).await.unwrap(), 0);
    }

    #[tokio::test]
    async fn http1_responses_close_their_connection_in_the_lame_duck() {
        let shutdown = Shutdown::default();
        let server = serve_versions(shutdown.clone());
        let (mut old, connection) = http1::handshake(connect(&server).await).await.unwrap();
        let old_connection = tokio::spawn(connection);
        let response = old.send_request(request()).await.unwrap();
        assert!(!response.headers().contains_key("connection"));
        assert_eq!(text(response).await, "HTTP/1.1");

        shutdown.begin_lame_duck();
        let response = old.send_request(request()).await.unwrap();
        assert_eq!(response.headers()["connection"], "close");
        assert_eq!(text(response).await, "HTTP/1.1");
        old_connection.await.unwrap().unwrap();
        let (mut new, connection) = http1::handshake(connect(&server).await).await.unwrap();
        tokio::spawn(connection);
        let response = new.send_request(request()).await.unwrap();
        assert_eq!(response.headers()["connection"], "close");
    }

    #[tokio::test]
    async fn a_connection_that_waits_for_accept_at_the_drain_is_served() {
        let limits = Limits {
            connections: 1,
            streams: 8,
            call: None,
            stream: None,
        };
        let listener = Listener::bind(([127, 0, 0, 1], 0).into(), limits).unwrap();
        let address = listener.address();
        let mut clients = Vec::new();
        for _ in 0..20 {
            let client = tokio::net::TcpStream::connect(address).await.unwrap();
            let (client, connection) = http1::handshake(TokioIo::new(client)).await.unwrap();
            tokio::spawn(connection);
            clients.push(client);
        }
        let service = service_fn(async |_: Request<Incoming>| {
            Ok::<_, Infallible>(Response::new("served".to_owned()))
        });
        let shutdown = Shutdown::default();
        shutdown.begin_drain();
        let serve = tokio::spawn(listener.serve(service, Arc::default(), shutdown));
        for mut client in clients {
            let response = client.send_request(request()).await.unwrap();
            assert_eq!(response.headers()["connection"], "close");
            assert_eq!(text(response).await, "served");
        }
        serve.await.unwrap().unwrap();
        assert!(tokio::net::TcpStream::connect(address).await.is_err());
    }

    /// Everything that the server writes after these bytes, until it closes the connection.
    async fn responses(sent: &str) -> String {
        let server = serve_versions(Shutdown::default());
        let mut io = connect(&server).await.into_inner();
        let mut read = String::new();
        io.write_all(sent.as_bytes()).await.unwrap();
        io.shutdown().await.unwrap();
        let _ = io.read_to_string(&mut read).await;
        read
    }

    /// Requests with `|` for a line break, and the statuses of their responses.
    const HEADS: &[(&str, &str)] = &[
        ("GET / HTTP/1.1|Host: a||", "200"),
        ("GET / HTTP/1.0||", "200"),
        ("GET / HTTP/1.1|X-A: b||", "400"),
        ("GET / HTTP/1.1|Host: a|Host: a||", "400"),
        ("GET / HTTP/1.0|Host: a|Host: b||", "400"),
        ("GET / HTTP/1.1|Host:||", "400"),
        ("GET / HTTP/1.1|Host: a b||", "400"),
        ("GET / HTTP/1.1|Host: a, b||", "400"),
        ("GET / HTTP/1.1|Host: a/b||", "400"),
        ("GET / HTTP/1.1|Host : a||", "400"),
        ("GET / HTTP/1.1| Host: a||", "400"),
        ("GET / HTTP/1.1|Host: a|X-A: b| c||", "400"),
        ("GET / HTTP/1.1|Host: a|X-A: b|\tc||", "400"),
        ("GET / HTTP/1.1|Host: a|X-A: b\rc||", "400"),
        ("GET / HTTP/1.1|Host: a|X\r-A: b||", "400"),
        ("GET / HTTP/1.1|Host: a|X-A: b\0c||", "400"),
        ("GET / HTTP/1.1|Host: a|: b||", "400"),
        ("GET / HTTP/1.1|Host: a|X-A||", "400"),
        ("GET /|Host: a||", "400"),
        ("GET / HTTP/1.2|Host: a||", "400"),
        ("GET / HTTP/2.0|Host: a||", "400"),
        ("GET / http/1.1|Host: a||", "400"),
        ("G@T / HTTP/1.1|Host: a||", "400"),
        // Targets.
        ("GET http://b/ HTTP/1.1|Host: a||", "200"),
        ("GET http://b/ HTTP/1.1|X-A: b||", "400"),
        ("GET a:80 HTTP/1.1|Host: a||", "400"),
        ("GET a HTTP/1.1|Host: a||", "400"),
        ("GET * HTTP/1.1|Host: a||", "400"),
        ("GET /a b HTTP/1.1|Host: a||", "400"),
        ("OPTIONS * HTTP/1.1|Host: a||", "200"),
        ("CONNECT a:80 HTTP/1.1|Host: a||", "501"),
        ("GET ftp://b/ HTTP/1.1|Host: a||", "400"),
        ("GET http://user@b/ HTTP/1.1|Host: a||", "400"),
        // Bodies.
        ("POST / HTTP/1.1|Host: a|Content-Length: 1||x", "200"),
        (
            "POST / HTTP/1.1|Host: a|Content-Length: 1|Content-Length: 2||xy",
            "400",
        ),
        ("POST / HTTP/1.1|Host: a|Content-Length: 1, 1||x", "400"),
        ("POST / HTTP/1.1|Host: a|Content-Length: -1||", "400"),
        ("POST / HTTP/1.1|Host: a|Content-Length: +1||x", "400"),
        ("POST / HTTP/1.1|Host: a|Content-Length: 0x1||x", "400"),
        ("POST / HTTP/1.1|Host: a|Content-Length:||", "400"),
        (
            "POST / HTTP/1.1|Host: a|Content-Length: 99999999999999999999||",
            "400",
        ),
        (
            "POST / HTTP/1.1|Host: a|Transfer-Encoding: Chunked||1|x|0||",
            "200",
        ),
        ("POST / HTTP/1.0|Transfer-Encoding: chunked||0||", "400"),
        (
            "POST / HTTP/1.1|Host: a|Transfer-Encoding: chunked, gzip||0||",
            "400",
        ),
        (
            "POST / HTTP/1.1|Host: a|Transfer-Encoding: identity||",
            "400",
        ),
        (
            "POST / HTTP/1.1|Host: a|Transfer-Encoding: xchunked||0||",
            "400",
        ),
        (
            "POST / HTTP/1.1|Host: a|Transfer-Encoding: chunked|Transfer-Encoding: chunked||0||",
            "400",
        ),
        (
            "POST / HTTP/1.1|Host: a|Transfer-Encoding: gzip, chunked||0||",
            "501",
        ),
    ];

    #[tokio::test]
    async fn a_request_head_is_checked_by_rfc_9112() {
        for (request, status) in HEADS {
            let follower = "GET / HTTP/1.1\r\nHost: follower\r\n\r\n";
            let responses = responses(&(request.replace('|', "\r\n") + follower)).await;
            assert_eq!(
                responses.get(9..12),
                Some(*status),
                "{request}: {responses}"
            );
            // What follows a refused head is not read as a request.
            let count = if *status == "200" { 2 } else { 1 };
            let found = responses.matches("HTTP/1.").count();
            if !request.contains("HTTP/1.0") {
                assert_eq!(found, count, "{request}: {responses}");
            }
        }
    }

    #[tokio::test]
    async fn a_trailing_slash_is_removed_before_the_service() {
        for (path, seen) in [("/a/?b=/", "/a?b=/"), ("/", "/"), ("/a//", "/a//")] {
            let request = format!("GET {path} HTTP/1.1\r\nHost: a\r\n\r\n");
            let responses = responses(&request.repeat(2)).await;
            assert!(
                responses.contains(&format!("target: {seen}\r\n")),
                "{path}: {responses}"
            );
        }
    }

    #[tokio::test]
    async fn a_request_with_two_kinds_of_length_is_chunked_and_the_last_of_its_connection() {
        for lengths in [
            "Content-Length: 60\r\nTransfer-Encoding: chunked",
            "Transfer-Encoding: chunked\r\nContent-Length: 60",
        ] {
            let sent = format!(
                "POST / HTTP/1.1\r\nHost: a\r\n{lengths}\r\n\r\n0\r\n\r\n\
                 GET / HTTP/1.1\r\nHost: smuggled\r\n\r\n"
            );
            let answers = responses(&sent).await;
            assert!(answers.starts_with("HTTP/1.1 200 "), "{answers}");
            assert!(answers.contains("connection: close"), "{answers}");
            assert_eq!(answers.matches("HTTP/1.1 200 ").count(), 1, "{answers}");
        }
    }
}
