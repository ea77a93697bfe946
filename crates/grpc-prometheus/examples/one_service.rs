//! A server that counts the calls of one of its services.
//!
//! `cargo run -p grpc-prometheus --example one_service`, then the example `client`.

use grpc_prometheus::{Exposition, ServerMetrics};
use tonic::{service::LayerExt, transport::Server};
use tonic_health::pb::FILE_DESCRIPTOR_SET;
use tower::BoxError;

#[tokio::main]
async fn main() -> Result<(), BoxError> {
    let exposition = Exposition::default();
    let metrics = ServerMetrics::builder()
        .descriptor_set(FILE_DESCRIPTOR_SET)
        .register(&exposition)?;
    let (_, health) = tonic_health::server::health_reporter();
    let server = Server::builder()
        .add_service(metrics.layer().named_layer(health))
        .serve_with_shutdown("127.0.0.1:50061".parse()?, async {
            // Until Ctrl-C, or at once if there is no such signal.
            let _ = tokio::signal::ctrl_c().await;
        });
    println!("calls on 127.0.0.1:50061; Ctrl-C prints the metrics");
    server.await?;
    println!("{}", exposition.encode(None).1);
    Ok(())
}
