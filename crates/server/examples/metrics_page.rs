//! A REST port with the layers of the mesh, and a scrape port: `/hello` and `/metrics`.
//!
//! `cargo run -p vitalmesh-server --example metrics_page`, then
//! `curl 127.0.0.1:8099/hello` and `curl 127.0.0.1:8098/metrics`.

use std::error::Error;

use axum::Router;
use axum::routing::get;
use grpc_prometheus::Exposition;
use http::Method;
use vitalmesh_server::{
    CorsOrigins, Limits, Listener, Methods, Phase, Readiness, Route, Scrape, Shutdown, rest_stack,
};
use vitalmesh_telemetry::Tracer;

const LIMITS: Limits = Limits {
    connections: 1_000,
    streams: 100,
    call: None,
    stream: None,
};
const ROUTES: [Route; 1] = [Route::new(Method::GET, "/hello", &[200])];

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn Error>> {
    let exposition = Exposition::default();
    let routes = Router::new().route("/hello", get("hello\n"));
    let routes = rest_stack(
        routes,
        &ROUTES,
        &exposition,
        Tracer::default(),
        CorsOrigins::None,
    )?;
    let rest = Listener::bind(([127, 0, 0, 1], 8099).into(), LIMITS)?;
    let scrape = Listener::bind(([127, 0, 0, 1], 8098).into(), LIMITS)?;
    let readiness = Readiness::default();
    let scrape = Scrape::start(scrape, "example", exposition, readiness.clone())?;
    readiness.set(Phase::Serving);

    let shutdown = Shutdown::default();
    let on_ctrl_c = shutdown.clone();
    tokio::spawn(async move {
        if tokio::signal::ctrl_c().await.is_ok() {
            on_ctrl_c.begin_drain();
        }
    });
    rest.serve(routes, Methods::default().into(), shutdown)
        .await?;
    scrape.stop().await;
    Ok(())
}
