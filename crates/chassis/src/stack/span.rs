//! Runs each call in its context and its span, and logs its end.

mod call;

use std::net::SocketAddr;
use std::sync::Arc;
use std::task::{Context, Poll};

use http::{Request, Response};
use http_body::Body;
use tonic::Code;
use tower::{Layer, Service};

use self::call::Call;
use super::observed::{ObservedBody, ObservedFuture, Observer};
use crate::context::CallContext;
use crate::trace::Tracer;

/// What the listener knows of a request before any layer sees it.
#[derive(Clone, Debug)]
pub(crate) struct Arrival {
    pub(crate) context: CallContext,
    pub(crate) peer: SocketAddr,
    /// The method's path or the route's pattern; `None` where the path is not known, since
    /// an unknown one is whatever the client likes.
    pub(crate) method: Option<Arc<str>>,
}

/// Makes [`Spanned`] services.
#[derive(Clone, Debug)]
pub(crate) struct SpanLayer {
    protocol: Protocol,
    tracer: Tracer,
}

/// Gives each call its span and its context, read from the request's [`Arrival`].
#[derive(Clone, Debug)]
pub(crate) struct Spanned<S> {
    inner: S,
    protocol: Protocol,
    tracer: Tracer,
}

/// What a call is, and so what its end is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Protocol {
    /// Ends with a gRPC status.
    Grpc,
    /// Ends with the status of its head.
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
        let arrival = request.extensions().get::<Arrival>().cloned();
        let begin = |arrival| Call::begin(arrival, self.protocol, &self.tracer, &request);
        let mut call = arrival.map(|arrival| Box::new(begin(arrival)));
        let inner = match &mut call {
            Some(call) => call.enter(|| self.inner.call(request)),
            None => self.inner.call(request),
        };
        ObservedFuture::new(inner, call)
    }
}

/// The codes that are the server's fault, not the caller's; `docs/METRICS.md` has the list.
pub(crate) const fn is_fault(code: Code) -> bool {
    matches!(
        code,
        Code::Unknown
            | Code::DeadlineExceeded
            | Code::Unimplemented
            | Code::Internal
            | Code::Unavailable
            | Code::DataLoss
            | Code::ResourceExhausted
    )
}
