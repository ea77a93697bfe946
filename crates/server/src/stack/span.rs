//! Runs each call in its context and span, and logs its end.

mod call;

use std::task::{Context, Poll};

use http::{Request, Response};
use http_body::Body;
use tower::{Layer, Service};
use vitalmesh_telemetry::{ObservedBody, ObservedFuture, Observer, Tracer};

use self::call::Call;
use crate::request::RequestInfo;

/// Makes [`Spanned`] services.
#[derive(Clone, Debug)]
pub(crate) struct SpanLayer {
    protocol: Protocol,
    tracer: Tracer,
}

/// Runs each call in the context of its [`RequestInfo`].
#[derive(Clone, Debug)]
pub(crate) struct Spanned<S> {
    inner: S,
    protocol: Protocol,
    tracer: Tracer,
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
    pub(crate) const fn grpc(tracer: Tracer) -> Self {
        Self {
            protocol: Protocol::Grpc,
            tracer,
        }
    }

    pub(crate) const fn http(tracer: Tracer) -> Self {
        Self {
            protocol: Protocol::Http,
            tracer,
        }
    }
}

impl<S> Layer<S> for SpanLayer {
    type Service = Spanned<S>;

    fn layer(&self, inner: S) -> Self::Service {
        Spanned {
            inner,
            protocol: self.protocol,
            tracer: self.tracer.clone(),
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
        let start = |info| Call::start(info, self.protocol, &self.tracer, &request);
        let mut call = info.map(|info| Box::new(start(info)));
        let inner = match &mut call {
            Some(call) => call.around_poll(|| self.inner.call(request)),
            None => self.inner.call(request),
        };
        ObservedFuture::new(inner, call)
    }
}
