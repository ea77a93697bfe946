//! Runs each call in its context and span, and logs its end.

mod call;

use std::task::{Context, Poll};

use http::{Request, Response};
use http_body::Body;
use tower::{Layer, Service};
use vitalmesh_context::ServiceContext;
use vitalmesh_telemetry::{ObservedBody, ObservedFuture, Observer, Tracer};

use self::call::Call;
pub(crate) use self::call::TRACERESPONSE;
use crate::request::RequestInfo;

/// Makes [`Spanned`] services.
#[derive(Clone, Debug)]
pub(crate) struct SpanLayer {
    kind: Kind,
}

/// Runs each call in the context of its [`RequestInfo`].
#[derive(Clone, Debug)]
pub(crate) struct Spanned<S> {
    inner: S,
    kind: Kind,
}

/// The properties that all calls of a stack share.
#[derive(Clone, Debug)]
struct Kind {
    protocol: Protocol,
    tracer: Tracer,
    service: ServiceContext,
}

/// The protocol of a call, which defines how it ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Protocol {
    /// Ends with a gRPC status.
    Grpc,
    /// Ends with the status of the response headers.
    Http,
}

// === impl SpanLayer ===

impl SpanLayer {
    /// For calls of the current service.
    pub(crate) fn grpc(tracer: Tracer) -> Self {
        Self::new(Protocol::Grpc, tracer)
    }

    /// For requests of the current service.
    pub(crate) fn http(tracer: Tracer) -> Self {
        Self::new(Protocol::Http, tracer)
    }

    fn new(protocol: Protocol, tracer: Tracer) -> Self {
        let service = ServiceContext::current();
        let kind = Kind {
            protocol,
            tracer,
            service,
        };
        Self { kind }
    }
}

impl<S> Layer<S> for SpanLayer {
    type Service = Spanned<S>;

    fn layer(&self, inner: S) -> Self::Service {
        Spanned {
            inner,
            kind: self.kind.clone(),
        }
    }
}

// === impl Spanned ===

impl<S, ReqB, ResB> Service<Request<ReqB>> for Spanned<S>
where
    S: Service<Request<ReqB>, Response = Response<ResB>, Error: 'static>,
    ResB: Body<Error: 'static>,
{
    type Response = Response<ObservedBody<ResB, Call>>;
    type Error = S::Error;
    type Future = ObservedFuture<S::Future, Call>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: Request<ReqB>) -> Self::Future {
        let info = request.extensions().get::<RequestInfo>().cloned();
        let start = |info| Call::start(info, &self.kind, &request);
        let mut call = info.map(|info| Box::new(start(info)));
        let inner = match &mut call {
            Some(call) => call.around_poll(|| self.inner.call(request)),
            None => self.inner.call(request),
        };
        ObservedFuture::new(inner, call)
    }
}
