//! The layers that every gRPC call passes, composed in one place.

pub(crate) mod deadline;
pub(crate) mod echo;
pub(crate) mod gate;
pub(crate) mod limit;
pub(crate) mod observed;
pub(crate) mod panic;
pub(crate) mod reset;
pub(crate) mod span;

use grpc_prometheus::ServerLayer;
use http::{Request, Response};
use tonic::body::Body;
use tower::util::MapRequestLayer;
use tower::{Service, ServiceBuilder};

use crate::routes::Routes;

use self::deadline::DeadlineLayer;
use self::echo::EchoLayer;
use self::gate::GateLayer;
use self::limit::LimitLayer;
use self::panic::CatchPanicLayer;
use self::reset::Watched;
use self::span::SpanLayer;

/// The parts of the stack that the caller makes, because they own metrics or go by a setting.
#[derive(Clone, Debug)]
pub(crate) struct Layers {
    pub(crate) metrics: ServerLayer,
    pub(crate) span: SpanLayer,
    pub(crate) catch_panic: CatchPanicLayer,
    pub(crate) limit: LimitLayer,
    pub(crate) echo: EchoLayer,
}

/// Puts the stack around the routes.
///
/// The order matters: what stands further out sees what stands further in, so metrics counts
/// what every other layer refuses, and a handler's panic or delay never passes its bounds.
pub(crate) fn grpc(
    layers: Layers,
    routes: Routes,
) -> impl Service<
    Request<hyper::body::Incoming>,
    Response = Response<
        impl http_body::Body<Data = bytes::Bytes, Error: Into<BoxError>> + Send + 'static,
    >,
    Error = BoxError,
    Future: Send,
> + Clone
+ Send
+ Sync
+ 'static {
    ServiceBuilder::new()
        // Outermost: one record a call, whatever happens below.
        .layer(layers.metrics)
        // Knows the call's trace before anything below can log.
        .layer(layers.span)
        // A panic below becomes INTERNAL and is still counted and logged above.
        .layer(layers.catch_panic)
        // Refuses before any work is done; the refusal is counted above.
        .layer(layers.limit)
        // Bounds the handler, not the refusals above it.
        .layer(DeadlineLayer)
        // What is no gRPC call never reaches a handler.
        .layer(GateLayer)
        // Innermost: what it sends back is what a handler got.
        .layer(layers.echo)
        // The routes take one body type, in which a caller that goes is seen.
        .layer(MapRequestLayer::new(|request: Request<_>| {
            request.map(|body| Body::new(Watched::new(body)))
        }))
        .service(routes)
}

/// Any error, where only its text matters.
pub type BoxError = Box<dyn std::error::Error + Send + Sync>;
