//! One call that a server answers: its context, its log line and its recorded span.

use std::fmt;

use grpc_prometheus::TraceId;
use http::{HeaderMap, HeaderName, Request, Response};
use tokio::time::Instant;
use tonic::Code;
use tracing::Span;

use super::{Arrival, Protocol, is_fault};
use crate::rest::CLIENT_CLOSED;
use crate::stack::observed::Observer;
use crate::stack::reset;
use crate::trace::{OpenSpan, Tracer, conventions};

const GRPC_STATUS: HeaderName = HeaderName::from_static("grpc-status");
/// Where a REST client finds the trace of its request, if it is recorded.
const TRACERESPONSE: HeaderName = HeaderName::from_static("traceresponse");

/// One call, logged once: when it ends, or when it is dropped before its end.
#[derive(Debug)]
pub(crate) struct Call {
    arrival: Arrival,
    span: Span,
    recorded: Option<Box<OpenSpan>>,
    begun: Instant,
    protocol: Protocol,
    /// The caller has gone: whatever the handler says, nobody hears it.
    reset: bool,
    outcome: Outcome,
}

#[derive(Clone, Copy, Debug)]
enum Outcome {
    /// Nobody has said how the call ended: its caller gave it up.
    Open,
    Grpc(Code),
    Http(u16),
}

// === impl Call ===

impl Call {
    pub(super) fn begin<B>(
        mut arrival: Arrival,
        protocol: Protocol,
        tracer: &Tracer,
        request: &Request<B>,
    ) -> Self {
        let trace = tracer.sample(arrival.context.trace);
        arrival.context.trace = trace;
        let (method, peer) = (arrival.method.as_deref(), arrival.peer);
        let span = tracing::info_span!(
            target: "vitalmesh::call",
            "call",
            rpc.system = protocol.name(),
            rpc.method = method.unwrap_or("unknown"),
            peer = %arrival.peer,
            trace_id = %trace,
        );
        let recorded = match protocol {
            Protocol::Grpc => conventions::served(tracer, trace, method, peer),
            Protocol::Http => conventions::requested(tracer, trace, method, peer, request),
        };
        Self {
            arrival,
            span,
            recorded,
            begun: Instant::now(),
            protocol,
            reset: false,
            outcome: Outcome::Open,
        }
    }

    fn see_status(&mut self, headers: &HeaderMap) {
        let Some(status) = headers.get(GRPC_STATUS).filter(|_| !self.reset) else {
            return;
        };
        let code = Code::from_bytes(status.as_bytes());
        self.outcome = Outcome::Grpc(code);
        if let Some(span) = self.recorded.as_mut().filter(|_| is_fault(code)) {
            span.fail(&conventions::message(headers));
        }
    }

    /// Where a sampled trace begins here, nobody else knows it yet: neither the metrics, which
    /// read the request, nor a REST client.
    fn tell_trace<B>(&self, response: &mut Response<B>) {
        let trace = self.arrival.context.trace;
        if !trace.sampled {
            return;
        }
        match self.protocol {
            Protocol::Grpc if trace.parent_id.is_none() => {
                let id = TraceId(trace.trace_id.to_be_bytes());
                response.extensions_mut().insert(id);
            }
            Protocol::Grpc => {}
            Protocol::Http => {
                response.headers_mut().insert(TRACERESPONSE, trace.header());
            }
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

    fn end_span(&mut self) {
        let Some(mut span) = self.recorded.take() else {
            return;
        };
        match (self.outcome, self.protocol) {
            (Outcome::Grpc(code), _) => conventions::ended(&mut span, code),
            (Outcome::Open, Protocol::Grpc) => conventions::ended(&mut span, Code::Cancelled),
            (Outcome::Open, Protocol::Http) => conventions::answered(&mut span, CLIENT_CLOSED),
            (Outcome::Http(status), _) => conventions::answered(&mut span, status),
        }
    }
}

impl Observer for Call {
    fn enter<T>(&mut self, poll: impl FnOnce() -> T) -> T {
        let (span, context) = (&self.span, self.arrival.context);
        let (polled, reset) = reset::watch(|| span.in_scope(|| context.sync_scope(poll)));
        self.reset |= reset;
        polled
    }

    fn head<B>(&mut self, response: &mut Response<B>) {
        self.tell_trace(response);
        if self.protocol == Protocol::Grpc && response.status().is_success() {
            self.see_status(response.headers());
        } else {
            self.outcome = Outcome::Http(response.status().as_u16());
        }
    }

    fn trailers(&mut self, trailers: &HeaderMap) {
        if self.protocol == Protocol::Grpc {
            self.see_status(trailers);
        }
    }
}

impl Drop for Call {
    fn drop(&mut self) {
        self.end_span();
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

// === impl Protocol ===

impl Protocol {
    const fn name(self) -> &'static str {
        match self {
            Self::Grpc => "grpc",
            Self::Http => "http",
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
            // As the metrics spell it.
            Self::Open => f.write_str("Canceled"),
            Self::Grpc(code) => write!(f, "{code:?}"),
            Self::Http(status) => write!(f, "{status}"),
        }
    }
}
