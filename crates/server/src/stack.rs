//! The layers of every gRPC call, composed in one place.

mod decompress;
mod echo;
mod limit;
mod panic;
mod protocol;
mod span;

use std::convert::Infallible;

use bytes::Bytes;
use grpc_prometheus::{MethodHandle, ResetFlag, ServerLayer};
use http::{Extensions, Request, Response};
use hyper::body::Incoming;
use prometheus::{IntCounter, Registry};
use tower::{BoxError, Service, ServiceBuilder};
use vitalmesh_context::DeadlineLayer;
use vitalmesh_telemetry::Tracer;

use self::decompress::DecompressLayer;
use self::echo::EchoLayer;
use self::limit::LimitLayer;
use self::panic::CatchPanicLayer;
use self::protocol::ProtocolLayer;
pub(crate) use self::span::{SpanLayer, TRACERESPONSE};
use crate::request::RequestInfo;
use crate::router::Router;

/// The settings of the gRPC stack.
#[derive(Clone, Copy, Debug)]
pub struct GrpcSettings {
    /// Concurrent calls. Further ones are refused with RESOURCE_EXHAUSTED.
    pub max_calls: usize,
    /// Whether responses echo the request's metadata.
    pub echo_metadata: bool,
}

/// The gRPC stack: `metrics` and `tracer` observe each call; `registry` gets
/// `mesh_requests_rejected_total`, `mesh_panics_total` and `mesh_calls_shed_total`. The routes are the [`Methods`](crate::Methods) that the listener
/// gets.
///
/// The order matters: outer layers see what inner layers do. Metrics therefore count every refusal,
/// and a panic or a delay of a handler never escapes its bounds.
///
/// # Errors
///
/// If `registry` already has the counters.
pub fn grpc_stack(
    settings: GrpcSettings,
    metrics: ServerLayer,
    tracer: Tracer,
    registry: &Registry,
) -> prometheus::Result<
    impl Service<
        Request<Incoming>,
        Response = Response<
            impl http_body::Body<Data = Bytes, Error: Into<BoxError>> + Send + 'static,
        >,
        Error = Infallible,
        Future: Send,
    > + Clone
    + Send
    + Sync
    + 'static,
> {
    let panics = counter(registry, "mesh_panics_total", "Handlers that panicked.")?;
    let shed = counter(
        registry,
        "mesh_calls_shed_total",
        "gRPC calls refused because too many were in progress.",
    )?;
    Ok(ServiceBuilder::new()
        // Outermost: what it rejects is no call, so nothing else counts it.
        .layer(ProtocolLayer::new(registry)?)
        // One record per call, however it ends.
        .layer(metrics.resolved_by(series).share_reset(share_reset))
        // Sets the trace before any inner layer logs.
        .layer(SpanLayer::grpc(tracer))
        // A panic becomes INTERNAL; the layers above count and log it.
        .layer(CatchPanicLayer::new(panics))
        // Refuses before any work is done.
        .layer(LimitLayer::new(settings.max_calls, shed))
        // Bounds the handler, not the refusals above.
        .layer(DeadlineLayer)
        // Innermost: echoes exactly the metadata that the handler gets.
        .layer(EchoLayer::new(settings.echo_metadata))
        // Handlers get whole, plain messages in one body type.
        .layer(DecompressLayer)
        .service(Router))
}

/// The series of the method that the listener resolved.
fn series(extensions: &Extensions) -> Option<MethodHandle> {
    let info = extensions.get::<RequestInfo>()?;
    info.method()?.metrics
}

fn share_reset(extensions: &mut Extensions, reset: ResetFlag) {
    if let Some(info) = extensions.get_mut::<RequestInfo>() {
        info.reset = Some(reset);
    }
}

fn counter(registry: &Registry, name: &str, help: &str) -> prometheus::Result<IntCounter> {
    let counter = IntCounter::new(name, help)?;
    registry.register(Box::new(counter.clone()))?;
    Ok(counter)
}
