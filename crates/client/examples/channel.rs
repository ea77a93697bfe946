//! Checks a server's health through a channel: `channel http://127.0.0.1:50053`. Prints what came
//! back, the trace that the calls belong to, and their metrics.

use std::time::Duration;

use grpc_prometheus::{ClientMetrics, Exposition};
use tonic::Response;
use tonic_health::pb::health_client::HealthClient;
use tonic_health::pb::{FILE_DESCRIPTOR_SET, HealthCheckRequest};
use tower::BoxError;
use vitalmesh_client::Channel;
use vitalmesh_context::CallContext;
use vitalmesh_telemetry::Tracer;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), BoxError> {
    let url = std::env::args().nth(1);
    let url = url.as_deref().unwrap_or("http://127.0.0.1:50053").parse()?;
    let exposition = Exposition::default();
    let metrics = ClientMetrics::builder()
        .descriptor_set(FILE_DESCRIPTOR_SET)
        .register(&exposition)?;
    let timeout = Duration::from_secs(2);
    let channel = Channel::new(url, timeout, metrics.layer(), Tracer::default());
    let client = HealthClient::new(channel);

    // As a server sets it around a handler. Its 300 ms are less than the channel's 2 s.
    let context = CallContext::root(Some(Duration::from_millis(300)));
    let calls = async {
        let checked = client.clone().check(HealthCheckRequest::default()).await;
        println!("check: {:?}", checked.map(Response::into_inner));
        let watched = client.clone().watch(HealthCheckRequest::default()).await?;
        let mut states = watched.into_inner();
        loop {
            match states.message().await {
                Ok(Some(state)) => println!("watch: {state:?}"),
                Ok(None) => break Ok::<_, tonic::Status>(()),
                Err(status) => break Err(status),
            }
        }
    };
    println!("watch ended with {:?}", context.scope(calls).await);
    println!("trace {}", context.trace);

    let (_, page) = exposition.encode(None);
    let handled = |line: &&str| line.starts_with("grpc_client_handled") && !line.ends_with(" 0");
    for line in page.lines().filter(handled) {
        println!("{line}");
    }
    Ok(())
}
