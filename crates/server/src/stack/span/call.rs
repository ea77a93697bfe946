//! One served call: its context, its log line and its span.

use std::any::Any;
use std::fmt;

use grpc_prometheus::TraceId;
use http::{HeaderMap, HeaderName, Request, Response};
use tokio::time::Instant;
use tonic::{Code, Status};
use tracing::Span;
use vitalmesh_context::ServiceContext;
use vitalmesh_status::{CLIENT_CLOSED_REQUEST, code_name, is_fault};
use vitalmesh_telemetry::{Observer, OpenSpan, conventions};

use super::{Kind, Protocol};
use crate::problem::{Reason, readable};
use crate::request::RequestInfo;

const GRPC_STATUS: HeaderName = HeaderName::from_static("grpc-status");
/// The response header with the trace of a sampled REST request.
pub(crate) const TRACERESPONSE: HeaderName = HeaderName::from_static("traceresponse");

/// One call. It is logged once, when it ends or is dropped.
#[derive(Debug)]
pub(crate) struct Call {
    info: RequestInfo,
    span: Span,
    recorded: Option<Box<OpenSpan>>,
    started: Instant,
    protocol: Protocol,
    service: ServiceContext,
    outcome: Outcome,
    /// Why the call failed; empty if it did not, or if nobody said it.
    reason: String,
}

#[derive(Clone, Copy, Debug)]
enum Outcome {
    /// Not ended: a call that is dropped in this state was cancelled by its caller.
    Open,
    Grpc(Code),
    Http(u16),
}

// === impl Call ===

impl Call {
    pub(super) fn start<B>(mut info: RequestInfo, kind: &Kind, request: &Request<B>) -> Self {
        let Kind {
            protocol,
            ref tracer,
            service,
        } = *kind;
        let trace = tracer.sample(info.context.trace);
        info.context.trace = trace;
        let (method, peer) = (info.name(), info.peer);
        let span = tracing::info_span!(
            target: "vitalmesh::call",
            "call",
            rpc.system = protocol.name(),
            rpc.method = method.unwrap_or("unknown"),
            peer = %info.peer,
            trace_id = %trace,
        );
        let recorded = match protocol {
            Protocol::Grpc => conventions::server_call(tracer, trace, method, peer),
            Protocol::Http => conventions::http_request(tracer, trace, method, peer, request),
        };
        Self {
            info,
            span,
            recorded,
            started: Instant::now(),
            protocol,
            service,
            outcome: Outcome::Open,
            reason: String::new(),
        }
    }

    fn record_status(&mut self, headers: &HeaderMap) {
        let Some(status) = headers.get(GRPC_STATUS).filter(|_| !self.info.is_reset()) else {
            return;
        };
        let code = Code::from_bytes(status.as_bytes());
        self.outcome = Outcome::Grpc(code);
        if is_fault(code) {
            let message = conventions::status_message(headers);
            if let Some(span) = &mut self.recorded {
                span.fail(&message);
            }
            self.reason = readable(&message);
        }
    }

    /// Publishes a sampled trace that starts here: to the metrics layer, which has read only the
    /// request, and to a REST client.
    fn add_trace<B>(&self, response: &mut Response<B>) {
        let trace = self.info.context.trace;
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
        let method = self.info.name().unwrap_or("unknown");
        let peer = self.info.peer;
        let elapsed_ms = self.started.elapsed().as_micros() as f64 / 1000.0;
        let code = self.outcome;
        if code.is_fault() {
            let reason = Some(&*self.reason).filter(|reason| !reason.is_empty());
            tracing::warn!(
                target: "vitalmesh::call", method, %code, reason, %peer, elapsed_ms, "call ended"
            );
        } else {
            tracing::debug!(target: "vitalmesh::call", method, %code, %peer, elapsed_ms, "call ended");
        }
    }

    fn end_span(&mut self) {
        let Some(mut span) = self.recorded.take() else {
            return;
        };
        match (self.outcome, self.protocol) {
            (Outcome::Grpc(code), _) => conventions::grpc_end(&mut span, code),
            (Outcome::Open, Protocol::Grpc) => conventions::grpc_end(&mut span, Code::Cancelled),
            (Outcome::Open, Protocol::Http) => {
                conventions::http_end(&mut span, CLIENT_CLOSED_REQUEST)
            }
            (Outcome::Http(status), _) => conventions::http_end(&mut span, status),
        }
    }
}

impl Observer for Call {
    fn around_poll<T>(&mut self, poll: impl FnOnce() -> T) -> T {
        let (span, context) = (&self.span, self.info.context);
        span.in_scope(|| self.service.sync_scope(|| context.sync_scope(poll)))
    }

    fn on_headers<B>(&mut self, response: &mut Response<B>) {
        self.add_trace(response);
        if self.protocol == Protocol::Grpc && response.status().is_success() {
            self.record_status(response.headers());
        } else {
            self.outcome = Outcome::Http(response.status().as_u16());
            if let Some(Reason(reason)) = response.extensions_mut().remove() {
                self.reason = reason;
            }
        }
    }

    fn on_trailers(&mut self, trailers: &HeaderMap) {
        if self.protocol == Protocol::Grpc {
            self.record_status(trailers);
        }
    }

    fn on_error(&mut self, error: &dyn Any) {
        // A body that fails ends the call with this status.
        if let Some(status) = error.downcast_ref::<Status>()
            && self.protocol == Protocol::Grpc
            && !self.info.is_reset()
        {
            self.outcome = Outcome::Grpc(status.code());
            self.reason = readable(status.message());
        }
    }
}

impl Drop for Call {
    fn drop(&mut self) {
        self.end_span();
        // The subscriber may panic, and a panic during unwinding aborts.
        if std::thread::panicking()
            || !tracing::event_enabled!(target: "vitalmesh::call", tracing::Level::WARN)
        {
            return;
        }
        let (service, context) = (self.service, self.info.context);
        let log = || service.sync_scope(|| context.sync_scope(|| self.log()));
        self.span.in_scope(log);
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
            Self::Open => f.write_str(code_name(Code::Cancelled)),
            Self::Grpc(code) => f.write_str(code_name(*code)),
            Self::Http(status) => write!(f, "{status}"),
        }
    }
}
