//! A service that is registered by `serve` and `channel` alone has everything that follows from a
//! contract: metrics, health, reflection, timeouts, routes and client metrics.
#![expect(clippy::unwrap_used, reason = "tests fail by panicking")]

use std::future::pending;
use std::net::SocketAddr;
use std::pin::Pin;
use std::time::Duration;

use futures_util::{Stream, StreamExt, stream};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tonic::transport::{Channel, Endpoint};
use tonic::{Code, Request, Response, Status, Streaming};
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_check_response::ServingStatus;
use tonic_health::pb::health_client::HealthClient;
use tonic_reflection::pb::v1::ServerReflectionRequest;
use tonic_reflection::pb::v1::server_reflection_client::ServerReflectionClient;
use tonic_reflection::pb::v1::server_reflection_request::MessageRequest;
use tonic_reflection::pb::v1::server_reflection_response::MessageResponse;
use vitalmesh_chassis::{
    Assembly, BoxError, Running, Service, Settings, Upstream, bind, parse, service_url,
};
use vitalmesh_proto::counter::v1::counter_service_client::CounterServiceClient;
use vitalmesh_proto::counter::v1::counter_service_server::{CounterService, CounterServiceServer};
use vitalmesh_proto::counter::v1::{
    CountdownRequest, CountdownResponse, FILE_DESCRIPTOR_SET, IncreaseRequest, IncreaseResponse,
    IncreaseStreamRequest, IncreaseStreamResponse, SumRequest, SumResponse,
};
use vitalmesh_proto::time;

const NAME: &str = "vitalmesh.counter.v1.CounterService";

const OTHER: Upstream = Upstream {
    name: "other",
    contract: time::v1::FILE_DESCRIPTOR_SET,
};

/// A service whose calls never complete.
#[derive(clap::Args, Clone, Debug)]
struct Silent {
    #[command(flatten)]
    settings: Settings,
}

#[derive(Debug)]
struct Handler;

impl Service for Silent {
    const NAME: &'static str = "silent";
    const GRPC_ADDRESS: &'static str = "127.0.0.1:0";
    const SCRAPE_ADDRESS: &'static str = "127.0.0.1:0";

    fn settings(&self) -> &Settings {
        &self.settings
    }

    async fn build(self, assembly: &mut Assembly) -> Result<(), BoxError> {
        assembly.serve(FILE_DESCRIPTOR_SET, CounterServiceServer::new(Handler))?;
        let nobody = service_url("http://127.0.0.1:1")?;
        assembly.channel(OTHER, nobody, Duration::from_secs(1))?;
        Ok(())
    }
}

type Responses<T> = Pin<Box<dyn Stream<Item = Result<T, Status>> + Send>>;

#[tonic::async_trait]
impl CounterService for Handler {
    type IncreaseStreamStream = Responses<IncreaseStreamResponse>;
    type CountdownStream = Responses<CountdownResponse>;

    async fn increase(
        &self,
        _: Request<IncreaseRequest>,
    ) -> Result<Response<IncreaseResponse>, Status> {
        pending().await
    }

    async fn increase_stream(
        &self,
        _: Request<Streaming<IncreaseStreamRequest>>,
    ) -> Result<Response<Self::IncreaseStreamStream>, Status> {
        Ok(Response::new(stream::pending().boxed()))
    }

    async fn sum(
        &self,
        _: Request<Streaming<SumRequest>>,
    ) -> Result<Response<SumResponse>, Status> {
        pending().await
    }

    async fn countdown(
        &self,
        _: Request<CountdownRequest>,
    ) -> Result<Response<Self::CountdownStream>, Status> {
        Ok(Response::new(stream::pending().boxed()))
    }
}

async fn start(flags: &[&str]) -> Running {
    let words = [
        &["silent", "--lame-duck", "0s", "--drain-timeout", "0s"],
        flags,
    ]
    .concat();
    bind(parse::<Silent>(words).unwrap())
        .unwrap()
        .start()
        .await
        .unwrap()
}

fn channel(service: &Running) -> Channel {
    let url = format!("http://{}", service.addresses().grpc);
    Endpoint::from_shared(url).unwrap().connect_lazy()
}

async fn scrape(address: SocketAddr) -> String {
    let mut stream = TcpStream::connect(address).await.unwrap();
    let request = b"GET /metrics HTTP/1.1\r\nhost: silent\r\nconnection: close\r\n\r\n";
    stream.write_all(request).await.unwrap();
    let mut page = String::new();
    stream.read_to_string(&mut page).await.unwrap();
    page
}

#[tokio::test]
async fn every_method_has_its_series_from_the_start() {
    let service = start(&[]).await;
    let page = scrape(service.addresses().scrape).await;
    for (method, kind) in [
        ("Countdown", "server_stream"),
        ("Increase", "unary"),
        ("IncreaseStream", "bidi_stream"),
        ("Sum", "client_stream"),
    ] {
        let labels = format!(r#"grpc_method="{method}",grpc_service="{NAME}",grpc_type="{kind}""#);
        let series = format!("grpc_server_started_total{{{labels}}} 0\n");
        assert!(page.contains(&series), "{series}");
    }
    let client = r#"grpc_client_started_total{grpc_method="WhatTimeIs",grpc_service="vitalmesh.time.v1.TimeService",grpc_type="unary"} 0"#;
    assert!(page.contains(client), "{page}");
    let target =
        r#"mesh_client_target_info{grpc_service="vitalmesh.time.v1.TimeService",target="other"} 1"#;
    assert!(page.contains(target), "{page}");
}

#[tokio::test]
async fn health_and_reflection_know_the_service() {
    let service = start(&[]).await;
    let mut health = HealthClient::new(channel(&service));
    for name in [NAME, ""] {
        let request = HealthCheckRequest {
            service: name.to_owned(),
        };
        let status = health.check(request).await.unwrap().into_inner().status();
        assert_eq!(status, ServingStatus::Serving, "{name}");
    }
    let request = ServerReflectionRequest {
        host: String::new(),
        message_request: Some(MessageRequest::ListServices(String::new())),
    };
    let requests = stream::iter([request]).chain(stream::pending());
    let mut reflection = ServerReflectionClient::new(channel(&service));
    let responses = reflection.server_reflection_info(requests).await;
    let response = responses.unwrap().into_inner().message().await.unwrap();
    let Some(MessageResponse::ListServicesResponse(list)) = response.unwrap().message_response
    else {
        panic!("no list of services")
    };
    let names: Vec<_> = list.service.iter().map(|service| &*service.name).collect();
    assert!(names.contains(&NAME), "{names:?}");
}

/// The codes with which a unary and a streaming call end; `None` while a call is open.
async fn endings(flags: &[&str]) -> (Option<Code>, Option<Code>) {
    let service = start(flags).await;
    let mut client = CounterServiceClient::new(channel(&service));
    let streaming = client.countdown(CountdownRequest { from: 1 }).await;
    let mut streaming = streaming.unwrap().into_inner();
    let mut unary = client.clone();
    tokio::select! {
        ended = unary.increase(IncreaseRequest { num: 1 }) => (Some(ended.unwrap_err().code()), None),
        ended = streaming.message() => (None, Some(ended.unwrap_err().code())),
    }
}

#[tokio::test]
async fn a_unary_call_ends_by_the_call_timeout_and_a_stream_by_the_stream_timeout() {
    let short_calls = ["--call-timeout", "50ms", "--stream-timeout", "1h"];
    let late = Some(Code::DeadlineExceeded);
    assert_eq!(endings(&short_calls).await, (late, None));
    let short_streams = ["--call-timeout", "1h", "--stream-timeout", "50ms"];
    assert_eq!(endings(&short_streams).await, (None, late));
}

#[tokio::test]
async fn a_running_service_lists_its_contracts() {
    let service = start(&[]).await;
    assert_eq!(service.contracts().served, [FILE_DESCRIPTOR_SET]);
    assert!(service.contracts().legacy.is_empty());
}
