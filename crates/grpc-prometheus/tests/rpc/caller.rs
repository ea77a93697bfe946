//! A client of the echo service, as tonic would generate it.

use std::time::Duration;

use futures_util::Stream;
use tonic::{GrpcMethod, Request, Status, Streaming, body::Body, codec::CompressionEncoding};
use tonic_prost::ProstCodec;

use crate::echo::{Text, texts};

#[derive(Clone)]
pub(crate) struct EchoClient<T> {
    inner: tonic::client::Grpc<T>,
    timeout: Option<Duration>,
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

    pub(crate) fn gzip(mut self) -> Self {
        let inner = self.inner.send_compressed(CompressionEncoding::Gzip);
        self.inner = inner.accept_compressed(CompressionEncoding::Gzip);
        self
    }

    /// Sets the timeout of every call.
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

/// Reads a stream to its end. Returns the number of messages and the outcome.
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
