//! `t.v1.Echo` by hand: a service that does what each call's `x-script` header says, its
//! descriptor set, a client, and both over a duplex connection.
//!
//! Steps are separated by spaces and run in order; those after `head` run in the response stream:
//! `read2` takes two requests, `readall` takes the rest, `send3` answers three messages, `yield` lets
//! the others run, so that what was sent is a frame of its own, `sleep30` waits 30 ms, `err5` fails
//! with code 5, `hang` waits for ever, `panic` panics.

use std::{collections::VecDeque, convert::Infallible, time::Duration};

use futures_util::{FutureExt, Stream, StreamExt, future::BoxFuture, stream};
use grpc_prometheus::{ClientLayer, ClientMetrics, MeteredChannel, ServerMetrics};
use hyper_util::rt::TokioIo;
use prometheus::Registry;
use prost::Message;
use prost_types::{
    FileDescriptorProto, FileDescriptorSet, MethodDescriptorProto, ServiceDescriptorProto,
};
use tokio::{io::DuplexStream, sync::oneshot, task::JoinHandle};
use tonic::{
    GrpcMethod, Request, Response, Status, Streaming,
    body::Body,
    codec::CompressionEncoding,
    metadata::MetadataMap,
    server::NamedService,
    service::Routes,
    transport::{Channel, Endpoint, Server},
};
use tonic_prost::ProstCodec;
use tower::{Service, ServiceBuilder, service_fn};

#[derive(Clone, PartialEq, Message)]
pub(crate) struct Text {
    #[prost(string, tag = "1")]
    pub(crate) text: String,
}

#[derive(Clone, Default)]
pub(crate) struct Echo {
    pub(crate) gzip: bool,
    pub(crate) max_decoding: Option<usize>,
    pub(crate) max_encoding: Option<usize>,
}

pub(crate) struct Fixture {
    pub(crate) registry: Registry,
    pub(crate) server: ServerMetrics,
    pub(crate) echo: EchoClient<MeteredChannel<Channel>>,
    pub(crate) connection: Connection,
}

/// One served duplex connection.
pub(crate) struct Connection {
    pub(crate) channel: Channel,
    pub(crate) serving: JoinHandle<Result<(), tonic::transport::Error>>,
    pump: JoinHandle<()>,
    stop: Option<oneshot::Sender<()>>,
}

#[derive(Clone)]
pub(crate) struct EchoClient<T> {
    inner: tonic::client::Grpc<T>,
    timeout: Option<Duration>,
}

type Items = stream::BoxStream<'static, Result<Text, Status>>;

/// Name, whether the client streams, whether the server streams.
pub(crate) type Method<'a> = (&'a str, bool, bool);

/// The descriptor set of a package of services with their methods.
pub(crate) fn descriptor_set(package: &str, services: &[(&str, &[Method<'_>])]) -> Vec<u8> {
    let method = |(name, client, server): &Method<'_>| MethodDescriptorProto {
        name: Some((*name).to_owned()),
        client_streaming: Some(*client),
        server_streaming: Some(*server),
        ..Default::default()
    };
    let services = services
        .iter()
        .map(|(name, methods)| ServiceDescriptorProto {
            name: Some((*name).to_owned()),
            method: methods.iter().map(method).collect(),
            ..Default::default()
        });
    let file = FileDescriptorProto {
        package: Some(package.to_owned()),
        service: services.collect(),
        ..Default::default()
    };
    FileDescriptorSet { file: vec![file] }.encode_to_vec()
}

pub(crate) fn echo_descriptor_set() -> Vec<u8> {
    let methods = [
        ("Unary", false, false),
        ("Server", false, true),
        ("Client", true, false),
        ("Bidi", true, true),
    ];
    descriptor_set("t.v1", &[("Echo", &methods)])
}

pub(crate) fn texts(count: usize) -> Vec<Text> {
    let text = |index| Text {
        text: format!("message {index}"),
    };
    (0..count).map(text).collect()
}

// === impl Fixture ===

impl Fixture {
    pub(crate) fn new() -> Self {
        let registry = Registry::new();
        let server = ServerMetrics::builder()
            .descriptor_set(&echo_descriptor_set())
            .register(&registry)
            .unwrap();
        let client = ClientMetrics::builder()
            .descriptor_set(&echo_descriptor_set())
            .register(&registry)
            .unwrap();
        Self::with(registry, server, &client, Echo::default())
    }

    pub(crate) fn with(
        registry: Registry,
        server: ServerMetrics,
        client: &ClientMetrics,
        echo: Echo,
    ) -> Self {
        let gzip = echo.gzip;
        let connection = Connection::new(Server::builder().layer(server.layer()), echo.routes());
        let channel = connection.metered(&client.layer());
        let mut echo = EchoClient::new(channel);
        if gzip {
            echo.inner = echo
                .inner
                .send_compressed(CompressionEncoding::Gzip)
                .accept_compressed(CompressionEncoding::Gzip);
        }
        Self {
            registry,
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

    /// Asks the server to shut down gracefully.
    pub(crate) fn stop(&mut self) {
        self.stop.take();
    }

    /// Cuts the connection in the middle: both ends see it closed.
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
    // The stream of connections must not end: tonic would shut the connection down gracefully.
    let incoming = stream::iter([Ok::<_, Infallible>(io)]).chain(stream::pending());
    tokio::spawn(router.serve_with_incoming_shutdown(incoming, stopped.map(drop)))
}

/// Lazy, so that a call fails where the connection cannot be had.
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

// === impl Echo ===

impl Echo {
    pub(crate) fn routes(self) -> Routes {
        Routes::new(self)
    }

    fn grpc(&self) -> tonic::server::Grpc<ProstCodec<Text, Text>> {
        let mut grpc = tonic::server::Grpc::new(ProstCodec::default());
        if let Some(max) = self.max_decoding {
            grpc = grpc.max_decoding_message_size(max);
        }
        if let Some(max) = self.max_encoding {
            grpc = grpc.max_encoding_message_size(max);
        }
        if self.gzip {
            grpc = grpc
                .accept_compressed(CompressionEncoding::Gzip)
                .send_compressed(CompressionEncoding::Gzip);
        }
        grpc
    }
}

impl NamedService for Echo {
    const NAME: &'static str = "t.v1.Echo";
}

impl<B> Service<http::Request<B>> for Echo
where
    B: http_body::Body + Send + 'static,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>> + Send,
{
    type Response = http::Response<Body>;
    type Error = Infallible;
    type Future = BoxFuture<'static, Result<http::Response<Body>, Infallible>>;

    fn poll_ready(
        &mut self,
        _: &mut std::task::Context<'_>,
    ) -> std::task::Poll<Result<(), Infallible>> {
        std::task::Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: http::Request<B>) -> Self::Future {
        let mut grpc = self.grpc();
        async move {
            let method = request.uri().path().rsplit('/').next().unwrap().to_owned();
            Ok(match method.as_str() {
                "Unary" => grpc.unary(service_fn(unary), request).await,
                "Server" => grpc.server_streaming(service_fn(server), request).await,
                "Client" => grpc.client_streaming(service_fn(client), request).await,
                "Bidi" => grpc.streaming(service_fn(bidi), request).await,
                _ => Status::unimplemented("").into_http(),
            })
        }
        .boxed()
    }
}

async fn unary(request: Request<Text>) -> Result<Response<Text>, Status> {
    let mut script = Script::new(request.metadata(), None);
    script.run_to_head().await?;
    Ok(Response::new(request.into_inner()))
}

async fn server(request: Request<Text>) -> Result<Response<Items>, Status> {
    let mut script = Script::new(request.metadata(), None);
    script.run_to_head().await?;
    Ok(Response::new(script.stream().boxed()))
}

async fn client(request: Request<Streaming<Text>>) -> Result<Response<Text>, Status> {
    let metadata = request.metadata().clone();
    let mut script = Script::new(&metadata, Some(request.into_inner()));
    script.run_to_head().await?;
    Ok(Response::new(Text::default()))
}

async fn bidi(request: Request<Streaming<Text>>) -> Result<Response<Items>, Status> {
    let metadata = request.metadata().clone();
    let mut script = Script::new(&metadata, Some(request.into_inner()));
    script.run_to_head().await?;
    Ok(Response::new(script.stream().boxed()))
}

struct Script {
    steps: VecDeque<String>,
    requests: Option<Streaming<Text>>,
    sending: u64,
}

// === impl Script ===

impl Script {
    fn new(metadata: &MetadataMap, requests: Option<Streaming<Text>>) -> Self {
        let script = metadata
            .get("x-script")
            .map(|script| script.to_str().unwrap());
        let steps = script.unwrap_or("readall head").split_whitespace();
        Self {
            steps: steps.map(str::to_owned).collect(),
            requests,
            sending: 0,
        }
    }

    async fn run_to_head(&mut self) -> Result<(), Status> {
        while let Some(step) = self.steps.pop_front() {
            if step == "head" {
                break;
            }
            self.step(&step).await?;
        }
        Ok(())
    }

    async fn step(&mut self, step: &str) -> Result<(), Status> {
        let digits = step
            .find(|c: char| c.is_ascii_digit())
            .unwrap_or(step.len());
        let (verb, number) = step.split_at(digits);
        let number = number.parse().unwrap_or(0);
        match verb {
            "read" => self.read(number).await,
            "readall" => self.read(u64::MAX).await,
            "sleep" => {
                tokio::time::sleep(Duration::from_millis(number)).await;
                Ok(())
            }
            "yield" => {
                tokio::task::yield_now().await;
                Ok(())
            }
            "hang" => std::future::pending().await,
            "panic" => panic!("as the script says"),
            "err" => Err(Status::new((number as i32).into(), "as the script says")),
            "send" => {
                self.sending = number;
                Ok(())
            }
            other => panic!("no such step: {other}"),
        }
    }

    async fn read(&mut self, count: u64) -> Result<(), Status> {
        let Some(requests) = &mut self.requests else {
            return Ok(());
        };
        for _ in 0..count {
            if requests.message().await?.is_none() {
                break;
            }
        }
        Ok(())
    }

    fn stream(self) -> impl Stream<Item = Result<Text, Status>> {
        stream::unfold(Some(self), |script| async {
            let mut script = script?;
            loop {
                if script.sending > 0 {
                    script.sending -= 1;
                    return Some((
                        Ok(Text {
                            text: "item".into(),
                        }),
                        Some(script),
                    ));
                }
                let step = script.steps.pop_front()?;
                if let Err(status) = script.step(&step).await {
                    return Some((Err(status), None));
                }
            }
        })
    }
}

// === impl EchoClient ===

impl<T, ResB> EchoClient<T>
where
    T: tonic::client::GrpcService<Body, ResponseBody = ResB>,
    T::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
    ResB: http_body::Body<Data = bytes::Bytes> + Send + 'static,
    ResB::Error: Into<Box<dyn std::error::Error + Send + Sync>> + Send,
{
    pub(crate) fn new(channel: T) -> Self {
        Self {
            inner: tonic::client::Grpc::new(channel),
            timeout: None,
        }
    }

    /// Gives every call a deadline.
    pub(crate) const fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = Some(timeout);
        self
    }

    pub(crate) async fn unary(&mut self, script: &str) -> Result<Text, Status> {
        self.unary_request(request(texts(1).remove(0), script))
            .await
    }

    pub(crate) async fn unary_request(
        &mut self,
        mut request: Request<Text>,
    ) -> Result<Text, Status> {
        self.ready().await?;
        self.prepare(&mut request, "Unary");
        let path = http::uri::PathAndQuery::from_static("/t.v1.Echo/Unary");
        let codec = ProstCodec::<Text, Text>::default();
        let response = self.inner.unary(request, path, codec).await?;
        Ok(response.into_inner())
    }

    pub(crate) async fn server(&mut self, script: &str) -> Result<Streaming<Text>, Status> {
        self.ready().await?;
        let mut request = request(Text::default(), script);
        self.prepare(&mut request, "Server");
        let path = http::uri::PathAndQuery::from_static("/t.v1.Echo/Server");
        let codec = ProstCodec::<Text, Text>::default();
        let response = self.inner.server_streaming(request, path, codec).await?;
        Ok(response.into_inner())
    }

    pub(crate) async fn client(
        &mut self,
        script: &str,
        requests: impl Stream<Item = Text> + Send + 'static,
    ) -> Result<Text, Status> {
        self.ready().await?;
        let mut request = request(requests, script);
        self.prepare(&mut request, "Client");
        let path = http::uri::PathAndQuery::from_static("/t.v1.Echo/Client");
        let codec = ProstCodec::<Text, Text>::default();
        let response = self.inner.client_streaming(request, path, codec).await?;
        Ok(response.into_inner())
    }

    pub(crate) async fn bidi(
        &mut self,
        script: &str,
        requests: impl Stream<Item = Text> + Send + 'static,
    ) -> Result<Streaming<Text>, Status> {
        self.ready().await?;
        let mut request = request(requests, script);
        self.prepare(&mut request, "Bidi");
        let path = http::uri::PathAndQuery::from_static("/t.v1.Echo/Bidi");
        let codec = ProstCodec::<Text, Text>::default();
        let response = self.inner.streaming(request, path, codec).await?;
        Ok(response.into_inner())
    }

    fn prepare<M>(&self, request: &mut Request<M>, method: &'static str) {
        let name = GrpcMethod::new("t.v1.Echo", method);
        request.extensions_mut().insert(name);
        if let Some(timeout) = self.timeout {
            request.set_timeout(timeout);
        }
    }

    async fn ready(&mut self) -> Result<(), Status> {
        let ready = self.inner.ready().await;
        ready.map_err(|error| Status::from_error(error.into()))
    }
}

pub(crate) fn request<T>(message: T, script: &str) -> Request<T> {
    let mut request = Request::new(message);
    request
        .metadata_mut()
        .insert("x-script", script.parse().unwrap());
    request
}

/// Reads to the end: how many messages, and how it ended.
pub(crate) async fn drain(mut stream: Streaming<Text>) -> (usize, Result<(), Status>) {
    let mut count = 0;
    loop {
        match stream.message().await {
            Ok(Some(_)) => count += 1,
            Ok(None) => return (count, Ok(())),
            Err(status) => return (count, Err(status)),
        }
    }
}
