//! A server with metrics, and its metrics page.
//!
//! `cargo run -p grpc-prometheus --example server`, then the example `client` or
//! `curl http://127.0.0.1:9464/metrics`.

use std::future::IntoFuture;

use axum::Router;
use grpc_prometheus::{Exposition, ServerMetrics};
use tokio::net::TcpListener;
use tonic::transport::Server;
use tonic_health::pb::FILE_DESCRIPTOR_SET;
use tower::BoxError;

#[tokio::main]
async fn main() -> Result<(), BoxError> {
    let exposition = Exposition::default();
    let metrics = ServerMetrics::builder()
        .descriptor_set(FILE_DESCRIPTOR_SET)
        .register(&exposition)?;
    let (_, health) = tonic_health::server::health_reporter();
    let calls = Server::builder()
        .layer(metrics.layer())
        .add_service(health)
        .serve("127.0.0.1:50061".parse()?);

    let page = Router::new().route_service("/metrics", exposition.scrape_service());
    let listener = TcpListener::bind("127.0.0.1:9464").await?;
    let scrapes = axum::serve(listener, page).into_future();
    println!("calls on 127.0.0.1:50061, metrics on http://127.0.0.1:9464/metrics");
    tokio::select! {
        ended = calls => ended?,
        ended = scrapes => ended?,
    }
    Ok(())
}
