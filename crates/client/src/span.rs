//! The recorded span of an outgoing call.

use std::any::Any;

use http::{HeaderMap, HeaderName, Response};
use tonic::{Code, Status};
use vitalmesh_telemetry::{Observer, OpenSpan, conventions};

const GRPC_STATUS: HeaderName = HeaderName::from_static("grpc-status");

/// The span of one call. A call that is dropped before its end is cancelled.
#[derive(Debug)]
pub(crate) struct ClientSpan {
    span: Box<OpenSpan>,
    code: Code,
}

// === impl ClientSpan ===

impl ClientSpan {
    pub(super) const fn new(span: Box<OpenSpan>) -> Self {
        Self {
            span,
            code: Code::Cancelled,
        }
    }

    fn record_status(&mut self, headers: &HeaderMap) {
        if let Some(status) = headers.get(GRPC_STATUS) {
            self.code = Code::from_bytes(status.as_bytes());
            self.fail(&conventions::status_message(headers));
        }
    }

    /// To a client, every code but OK is a failure.
    fn fail(&mut self, message: &str) {
        if self.code != Code::Ok {
            self.span.fail(message);
        }
    }
}

impl Observer for ClientSpan {
    fn on_headers<B>(&mut self, response: &mut Response<B>) {
        self.record_status(response.headers());
    }

    fn on_trailers(&mut self, trailers: &HeaderMap) {
        self.record_status(trailers);
    }

    fn on_error(&mut self, error: &dyn Any) {
        if let Some(status) = error.downcast_ref::<Status>() {
            self.code = status.code();
            self.fail(status.message());
        } else {
            self.code = Code::Unavailable;
            self.fail("the connection closed before the end of the response");
        }
    }
}

impl Drop for ClientSpan {
    fn drop(&mut self) {
        conventions::grpc_end(&mut self.span, self.code);
    }
}
