//! A hand-written `t.v1.Echo` service that runs the script in each call's `x-script` header, and
//! its descriptor set.
//!
//! Steps are separated by spaces and run in order. Those after `head` run in the response stream.
//! `read2` reads two requests, `readall` the rest, `send3` sends three messages, `yield` yields to
//! other tasks, so that earlier messages get a frame of their own, `pass30` waits 30 ms on the
//! system's clock, `err5` fails with code 5, `hang` never returns, `panic` panics.

use std::{
    collections::VecDeque,
    convert::Infallible,
    time::{Duration, Instant},
};

use futures_util::{FutureExt, Stream, StreamExt, future::BoxFuture, stream};
use prost::Message;
use prost_types::{
    FileDescriptorProto, FileDescriptorSet, MethodDescriptorProto, ServiceDescriptorProto,
};
use tonic::{
    Request, Response, Status, Streaming, body::Body, codec::CompressionEncoding,
    metadata::MetadataMap, server::NamedService, service::Routes,
};
use tonic_prost::ProstCodec;
use tower::{Service, service_fn};

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

type Items = stream::BoxStream<'static, Result<Text, Status>>;

/// Name, client streaming, server streaming.
pub(crate) type Method<'a> = (&'a str, bool, bool);

/// Encodes the descriptor set of a package.
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
            "pass" => {
                passes(Duration::from_millis(number)).await;
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

/// Waits on the system's clock, which the layer reads and which tests cannot pause.
pub(crate) async fn passes(time: Duration) {
    let begun = Instant::now();
    while begun.elapsed() < time {
        tokio::task::yield_now().await;
    }
}
