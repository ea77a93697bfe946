//! Calls and their metrics page on one port, as an axum router.
//!
//! `cargo run -p grpc-prometheus --example router`, then the example `client` or
//! `curl http://127.0.0.1:50061/metrics`.

use grpc_prometheus::{Exposition, ServerMetrics};
use tokio::net::TcpListener;
use tonic::service::Routes;
use tonic_health::pb::FILE_DESCRIPTOR_SET;
use tower::BoxError;

#[tokio::main]
async fn main() -> Result<(), BoxError> {
    let exposition = Exposition::default();
    let metrics = ServerMetrics::builder()
        .descriptor_set(FILE_DESCRIPTOR_SET)
        .register(&exposition)?;
    let (_, health) = tonic_health::server::health_reporter();
    let app = Routes::new(health)
        .into_axum_router()
        .layer(metrics.layer())
        .route_service("/metrics", exposition.scrape_service());
    let listener = TcpListener::bind("127.0.0.1:50061").await?;
    println!("calls on 127.0.0.1:50061, metrics on http://127.0.0.1:50061/metrics");
    axum::serve(listener, app).await?;
    Ok(())
}
