//! Runs each call in its context and its span, and logs its end.

use std::fmt;
use std::future::Future;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use http::{HeaderMap, HeaderName, Request, Response};
use http_body::{Body, Frame, SizeHint};
use pin_project_lite::pin_project;
use tokio::time::Instant;
use tonic::Code;
use tower::{Layer, Service};
use tracing::Span;

use crate::context::CallContext;

const GRPC_STATUS: HeaderName = HeaderName::from_static("grpc-status");

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
#[derive(Clone, Copy, Debug)]
pub(crate) struct SpanLayer {
    protocol: &'static str,
}

/// Gives each call its span and its context, read from the request's [`Arrival`].
#[derive(Clone, Debug)]
pub(crate) struct Spanned<S> {
    inner: S,
    protocol: &'static str,
}

pin_project! {
    /// Polls the inner future in the call's span.
    #[derive(Debug)]
    pub(crate) struct ResponseFuture<F> {
        #[pin]
        inner: F,
        call: Option<Box<Call>>,
    }
}

pin_project! {
    /// Polls the inner body in the call's span.
    #[derive(Debug)]
    pub(crate) struct ResponseBody<B> {
        #[pin]
        inner: B,
        call: Option<Box<Call>>,
    }
}

/// One call, logged once: when it ends, or when it is dropped before its end.
#[derive(Debug)]
struct Call {
    arrival: Arrival,
    span: Span,
    begun: Instant,
    grpc: bool,
    outcome: Outcome,
}

#[derive(Clone, Copy, Debug)]
enum Outcome {
    /// Nobody has said yet how the call ended.
    Open,
    Grpc(Code),
    Http(u16),
}

// === impl SpanLayer ===

impl SpanLayer {
    /// `protocol` is `grpc`, whose calls end with a gRPC status, or `http`.
    pub(crate) const fn new(protocol: &'static str) -> Self {
        Self { protocol }
    }
}

impl<S> Layer<S> for SpanLayer {
    type Service = Spanned<S>;

    fn layer(&self, inner: S) -> Self::Service {
        Spanned {
            inner,
            protocol: self.protocol,
        }
    }
}

// === impl Spanned ===

impl<S, ReqB, ResB> Service<Request<ReqB>> for Spanned<S>
where
    S: Service<Request<ReqB>, Response = Response<ResB>>,
    ResB: Body,
{
    type Response = Response<ResponseBody<ResB>>;
    type Error = S::Error;
    type Future = ResponseFuture<S::Future>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: Request<ReqB>) -> Self::Future {
        let arrival = request.extensions().get::<Arrival>().cloned();
        let call = arrival.map(|arrival| Box::new(Call::begin(arrival, self.protocol)));
        let inner = Call::enter(call.as_deref(), || self.inner.call(request));
        ResponseFuture { inner, call }
    }
}

// === impl ResponseFuture ===

impl<F, B, E> Future for ResponseFuture<F>
where
    F: Future<Output = Result<Response<B>, E>>,
    B: Body,
{
    type Output = Result<Response<ResponseBody<B>>, E>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.project();
        let polled = Call::enter(this.call.as_deref(), || this.inner.poll(cx));
        polled.map_ok(|response| {
            if let Some(call) = this.call {
                call.see_head(&response);
            }
            let (head, inner) = response.into_parts();
            // A body that has already ended may never be polled.
            let call = this.call.take().filter(|_| !inner.is_end_stream());
            Response::from_parts(head, ResponseBody { inner, call })
        })
    }
}

// === impl ResponseBody ===

impl<B: Body> Body for ResponseBody<B> {
    type Data = B::Data;
    type Error = B::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Self::Data>, Self::Error>>> {
        let this = self.project();
        let polled = Call::enter(this.call.as_deref(), || this.inner.poll_frame(cx));
        match &polled {
            Poll::Pending => {}
            Poll::Ready(Some(Ok(frame))) if frame.is_data() => {}
            Poll::Ready(Some(Ok(frame))) => {
                if let (Some(call), Some(trailers)) = (this.call.as_mut(), frame.trailers_ref()) {
                    call.see_status(trailers);
                }
                *this.call = None;
            }
            Poll::Ready(_) => *this.call = None,
        }
        polled
    }

    fn is_end_stream(&self) -> bool {
        self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.size_hint()
    }
}

// === impl Call ===

impl Call {
    fn begin(arrival: Arrival, protocol: &'static str) -> Self {
        let span = tracing::info_span!(
            target: "vitalmesh::call",
            "call",
            rpc.system = protocol,
            rpc.method = arrival.method.as_deref().unwrap_or("unknown"),
            peer = %arrival.peer,
            trace_id = %arrival.context.trace,
        );
        Self {
            arrival,
            span,
            begun: Instant::now(),
            grpc: protocol == "grpc",
            outcome: Outcome::Open,
        }
    }

    fn enter<T>(call: Option<&Self>, run: impl FnOnce() -> T) -> T {
        match call {
            Some(call) => call.span.in_scope(|| call.arrival.context.sync_scope(run)),
            None => run(),
        }
    }

    fn see_head<B>(&mut self, response: &Response<B>) {
        if self.grpc && response.status().is_success() {
            self.see_status(response.headers());
        } else {
            self.outcome = Outcome::Http(response.status().as_u16());
        }
    }

    fn see_status(&mut self, headers: &HeaderMap) {
        if let Some(status) = headers.get(GRPC_STATUS) {
            self.outcome = Outcome::Grpc(Code::from_bytes(status.as_bytes()));
        }
    }

    fn log(&self) {
        let method = self.arrival.method.as_deref().unwrap_or("unknown");
        let peer = self.arrival.peer;
        let elapsed_ms = self.begun.elapsed().as_micros() as f64 / 1000.0;
        let code = self.outcome;
        if code.is_fault() {
            tracing::warn!(target: "vitalmesh::call", method, %code, %peer, elapsed_ms, "call ended");
        } else {
            tracing::debug!(target: "vitalmesh::call", method, %code, %peer, elapsed_ms, "call ended");
        }
    }
}

// === impl Outcome ===

impl Outcome {
    const fn is_fault(self) -> bool {
        match self {
            Self::Open => false,
            Self::Grpc(code) => is_fault(code),
            Self::Http(status) => status >= 500,
        }
    }
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Open => f.write_str("dropped"),
            Self::Grpc(code) => write!(f, "{code:?}"),
            Self::Http(status) => write!(f, "{status}"),
        }
    }
}

impl Drop for Call {
    fn drop(&mut self) {
        // The subscriber may allocate; a panic here while unwinding would abort.
        if std::thread::panicking()
            || !tracing::event_enabled!(target: "vitalmesh::call", tracing::Level::WARN)
        {
            return;
        }
        let context = self.arrival.context;
        self.span.in_scope(|| context.sync_scope(|| self.log()));
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
