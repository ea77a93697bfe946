//! A client with metrics: an OK, a failure and an abandoned stream.
//!
//! `cargo run -p grpc-prometheus --example client` while the example `server` runs; without it
//! the calls count as `Unavailable`.

use grpc_prometheus::{ClientMetrics, Exposition};
use tonic::{Response, transport::Endpoint};
use tonic_health::pb::{FILE_DESCRIPTOR_SET, HealthCheckRequest, health_client::HealthClient};
use tower::{BoxError, ServiceBuilder};

#[tokio::main]
async fn main() -> Result<(), BoxError> {
    let exposition = Exposition::default();
    let metrics = ClientMetrics::builder()
        .descriptor_set(FILE_DESCRIPTOR_SET)
        .register(&exposition)?;
    let channel = Endpoint::from_static("http://127.0.0.1:50061").connect_lazy();
    let channel = ServiceBuilder::new()
        .layer(metrics.layer())
        .service(channel);
    let mut client = HealthClient::new(channel);

    let everything = HealthCheckRequest::default();
    let answer = client.check(everything.clone()).await;
    println!("{:?}", answer.map(Response::into_inner));
    let nothing = HealthCheckRequest {
        service: "no.such.Service".to_owned(),
    };
    let answer = client.check(nothing).await;
    println!("{:?}", answer.map(Response::into_inner));
    if let Ok(answer) = client.watch(everything).await {
        println!("{:?}", answer.into_inner().message().await);
    }

    let (_, page) = exposition.encode(None);
    let handled = |line: &&str| line.starts_with("grpc_client_handled") && !line.ends_with(" 0");
    for line in page.lines().filter(handled) {
        println!("{line}");
    }
    Ok(())
}
