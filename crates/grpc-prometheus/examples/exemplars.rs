//! Exemplars: the trace of the last sampled call of each bucket.
//!
//! `cargo run -p grpc-prometheus --example exemplars` needs no network: the client calls the
//! service directly. The layer reads a sampled `traceparent` header itself. This example shows how
//! to pass an id that only your tracing system knows.

use grpc_prometheus::{Exposition, ServerMetrics, TraceId};
use http::Request;
use tonic::body::Body;
use tonic_health::pb::{FILE_DESCRIPTOR_SET, HealthCheckRequest, health_client::HealthClient};
use tower::{BoxError, ServiceBuilder};

#[tokio::main]
async fn main() -> Result<(), BoxError> {
    let exposition = Exposition::default();
    let metrics = ServerMetrics::builder()
        .descriptor_set(FILE_DESCRIPTOR_SET)
        .exemplars(true)
        .register(&exposition)?;
    let (_, health) = tonic_health::server::health_reporter();
    let service = ServiceBuilder::new()
        .map_request(with_trace_id)
        .layer(metrics.layer())
        .service(health);
    HealthClient::new(service)
        .check(HealthCheckRequest::default())
        .await?;

    let accept = Some("application/openmetrics-text; version=1.0.0");
    let (_, page) = exposition.encode(accept);
    for line in page.lines().filter(|line| line.contains(" # {")) {
        println!("{line}");
    }
    Ok(())
}

/// Runs outside of the layer. Calls that are not sampled get no id.
fn with_trace_id(mut request: Request<Body>) -> Request<Body> {
    let sampled_trace = TraceId(0x0af7_6519_16cd_43dd_8448_eb21_1c80_319c_u128.to_be_bytes());
    request.extensions_mut().insert(sampled_trace);
    request
}
