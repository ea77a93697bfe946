//! Calls a server's gRPC health check by hand: `health http://127.0.0.1:50053`.

use http::header::{CONTENT_TYPE, TE};
use http::{HeaderMap, Request};
use http_body_util::{BodyExt, Full};
use tonic::body::Body;
use tower::{BoxError, ServiceExt};
use vitalmesh_transport::{Transport, service_url};

/// An uncompressed message without a byte: the default `HealthCheckRequest`.
const EVERYTHING: &[u8] = &[0, 0, 0, 0, 0];

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), BoxError> {
    let url = std::env::args().nth(1);
    let url = service_url(url.as_deref().unwrap_or("http://127.0.0.1:50053"))?;
    let request = Request::post("/grpc.health.v1.Health/Check")
        .header(CONTENT_TYPE, "application/grpc")
        .header(TE, "trailers")
        .body(Body::new(Full::from(EVERYTHING)))?;
    let response = Transport::new(url).oneshot(request).await?;
    println!("{} {:?}", response.status(), response.headers());
    let body = response.into_body().collect().await?;
    let trailers = body.trailers().map_or_else(HeaderMap::new, Clone::clone);
    // Flag and length, then field 1 as a varint: 1 is SERVING.
    println!("message: {:?}", body.to_bytes());
    println!("trailers: {trailers:?}");
    Ok(())
}
