//! Calls over HTTP/2 in memory: real tonic clients and servers over a duplex connection.

use std::convert::Infallible;

use futures_util::{FutureExt, StreamExt, stream};
use grpc_prometheus::{ClientLayer, ClientMetrics, Exposition, MeteredChannel, ServerMetrics};
use hyper_util::rt::TokioIo;
use tokio::{io::DuplexStream, sync::oneshot, task::JoinHandle};
use tonic::{
    body::Body,
    service::Routes,
    transport::{Channel, Endpoint, Server},
};
use tower::{Service, ServiceBuilder, service_fn};

use crate::{
    caller::EchoClient,
    echo::{Echo, echo_descriptor_set},
};

pub(crate) struct Fixture {
    pub(crate) exposition: Exposition,
    pub(crate) server: ServerMetrics,
    pub(crate) echo: EchoClient<MeteredChannel<Channel>>,
    pub(crate) connection: Connection,
}

/// A duplex connection to a running server.
pub(crate) struct Connection {
    pub(crate) channel: Channel,
    pub(crate) serving: JoinHandle<Result<(), tonic::transport::Error>>,
    pump: JoinHandle<()>,
    stop: Option<oneshot::Sender<()>>,
}

/// Server metrics in a new exposition.
pub(crate) fn server() -> (Exposition, ServerMetrics) {
    let exposition = Exposition::default();
    let builder = ServerMetrics::builder().descriptor_set(&echo_descriptor_set());
    let metrics = builder.register(&exposition).unwrap();
    (exposition, metrics)
}

/// Client metrics in a new exposition.
pub(crate) fn client() -> (Exposition, ClientMetrics) {
    let exposition = Exposition::default();
    let builder = ClientMetrics::builder().descriptor_set(&echo_descriptor_set());
    let metrics = builder.register(&exposition).unwrap();
    (exposition, metrics)
}

// === impl Fixture ===

impl Fixture {
    pub(crate) fn new() -> Self {
        let exposition = Exposition::default();
        let server = ServerMetrics::builder()
            .descriptor_set(&echo_descriptor_set())
            .register(&exposition)
            .unwrap();
        let client = ClientMetrics::builder()
            .descriptor_set(&echo_descriptor_set())
            .register(&exposition)
            .unwrap();
        Self::with(exposition, server, &client, Echo::default())
    }

    pub(crate) fn with(
        exposition: Exposition,
        server: ServerMetrics,
        client: &ClientMetrics,
        echo: Echo,
    ) -> Self {
        let gzip = echo.gzip;
        let connection = Connection::new(Server::builder().layer(server.layer()), echo.routes());
        let channel = connection.metered(&client.layer());
        let mut echo = EchoClient::new(channel);
        if gzip {
            echo = echo.gzip();
        }
        Self {
            exposition,
            server,
            echo,
            connection,
        }
    }
}

// === impl Connection ===

impl Connection {
    pub(crate) fn new<L, S, ResB>(server: Server<L>, routes: Routes) -> Self
    where
        L: tower::Layer<Routes, Service = S> + Clone + Send + 'static,
        S: Service<http::Request<Body>, Response = http::Response<ResB>> + Clone + Send + 'static,
        S::Future: Send,
        S::Error: Into<Box<dyn std::error::Error + Send + Sync>> + Send,
        ResB: http_body::Body<Data = bytes::Bytes> + Send + 'static,
        ResB::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
    {
        let (near, mut near_end) = tokio::io::duplex(1 << 16);
        let (far, mut far_end) = tokio::io::duplex(1 << 16);
        let pump = tokio::spawn(async move {
            _ = tokio::io::copy_bidirectional(&mut near_end, &mut far_end).await;
        });
        let (stop, stopped) = oneshot::channel();
        Self {
            channel: connect(near),
            serving: serve(server, routes, far, stopped),
            pump,
            stop: Some(stop),
        }
    }

    /// Starts a graceful shutdown of the server.
    pub(crate) fn stop(&mut self) {
        self.stop.take();
    }

    /// Cuts the connection: both ends see it closed.
    pub(crate) fn cut(&self) {
        self.pump.abort();
    }

    pub(crate) fn metered(&self, layer: &ClientLayer) -> MeteredChannel<Channel> {
        ServiceBuilder::new()
            .layer(layer.clone())
            .service(self.channel.clone())
    }
}

pub(crate) fn serve<L, S, ResB>(
    mut server: Server<L>,
    routes: Routes,
    io: DuplexStream,
    stopped: oneshot::Receiver<()>,
) -> JoinHandle<Result<(), tonic::transport::Error>>
where
    L: tower::Layer<Routes, Service = S> + Clone + Send + 'static,
    S: Service<http::Request<Body>, Response = http::Response<ResB>> + Clone + Send + 'static,
    S::Future: Send,
    S::Error: Into<Box<dyn std::error::Error + Send + Sync>> + Send,
    ResB: http_body::Body<Data = bytes::Bytes> + Send + 'static,
    ResB::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    let router = server.add_routes(routes);
    // The stream of connections must not end, or tonic shuts down gracefully.
    let incoming = stream::iter([Ok::<_, Infallible>(io)]).chain(stream::pending());
    tokio::spawn(router.serve_with_incoming_shutdown(incoming, stopped.map(drop)))
}

/// Connects lazily, so that calls fail if the connection does.
pub(crate) fn connect(io: DuplexStream) -> Channel {
    connect_with(io, |endpoint| endpoint)
}

pub(crate) fn connect_with(
    io: DuplexStream,
    configure: impl FnOnce(Endpoint) -> Endpoint,
) -> Channel {
    let mut io = Some(io);
    configure(Endpoint::from_static("http://echo")).connect_with_connector_lazy(service_fn(
        move |_: http::Uri| {
            let io = io.take().ok_or_else(|| std::io::Error::other("refused"));
            async move { io.map(TokioIo::new) }
        },
    ))
}

pub(crate) fn refused() -> Channel {
    Endpoint::from_static("http://echo").connect_with_connector_lazy(service_fn(
        |_: http::Uri| async { Err::<TokioIo<DuplexStream>, _>(std::io::Error::other("refused")) },
    ))
}
