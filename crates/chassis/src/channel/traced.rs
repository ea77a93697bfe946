//! The recorded span of a call that a client makes.

use std::any::Any;

use http::{HeaderMap, HeaderName, Response};
use tonic::{Code, Status};

use crate::stack::observed::Observer;
use crate::trace::{OpenSpan, conventions};

const GRPC_STATUS: HeaderName = HeaderName::from_static("grpc-status");

/// A call that was made. Dropped before its end, it was cancelled.
#[derive(Debug)]
pub(crate) struct Made {
    span: Box<OpenSpan>,
    code: Code,
}

// === impl Made ===

impl Made {
    pub(super) const fn new(span: Box<OpenSpan>) -> Self {
        Self {
            span,
            code: Code::Cancelled,
        }
    }

    fn see_status(&mut self, headers: &HeaderMap) {
        if let Some(status) = headers.get(GRPC_STATUS) {
            self.code = Code::from_bytes(status.as_bytes());
            self.fail(&conventions::message(headers));
        }
    }

    /// A client takes whatever is not OK for a failure.
    fn fail(&mut self, message: &str) {
        if self.code != Code::Ok {
            self.span.fail(message);
        }
    }
}

impl Observer for Made {
    fn head<B>(&mut self, response: &mut Response<B>) {
        self.see_status(response.headers());
    }

    fn trailers(&mut self, trailers: &HeaderMap) {
        self.see_status(trailers);
    }

    fn failed(&mut self, error: &dyn Any) {
        if let Some(status) = error.downcast_ref::<Status>() {
            self.code = status.code();
            self.fail(status.message());
        } else {
            self.code = Code::Unavailable;
            self.fail("the connection closed before the end of the answer");
        }
    }
}

impl Drop for Made {
    fn drop(&mut self) {
        conventions::ended(&mut self.span, self.code);
    }
}
