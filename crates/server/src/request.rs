//! What the listener knows of a request before any layer runs.

use std::net::SocketAddr;
use std::sync::Arc;

use grpc_prometheus::ResetFlag;
use vitalmesh_context::CallContext;

use crate::methods::Method;

/// An extension of every request.
#[derive(Clone, Debug)]
pub(crate) struct RequestInfo {
    pub(crate) context: CallContext,
    pub(crate) peer: SocketAddr,
    pub(crate) target: Target,
    /// Whether the caller reset the request. The metrics layer sets it on gRPC requests.
    pub(crate) reset: Option<ResetFlag>,
}

/// What a request addresses.
#[derive(Clone, Debug)]
pub(crate) enum Target {
    /// Nothing that this port serves. The path is not kept: a client chose it.
    Unknown,
    Method(Arc<Method>),
    /// The pattern of a REST route.
    Route(Arc<str>),
}

// === impl RequestInfo ===

impl RequestInfo {
    /// The method's path or the route's pattern, for logs and spans.
    pub(crate) fn name(&self) -> Option<&str> {
        match &self.target {
            Target::Unknown => None,
            Target::Method(method) => Some(&method.path),
            Target::Route(pattern) => Some(pattern),
        }
    }

    /// Whether the caller reset the request, so that nobody reads the response. A handler cannot
    /// see it: tonic treats a reset request body as a complete one.
    pub(crate) fn is_reset(&self) -> bool {
        self.reset.is_some_and(ResetFlag::is_set)
    }

    pub(crate) fn method(&self) -> Option<&Arc<Method>> {
        match &self.target {
            Target::Method(method) => Some(method),
            _ => None,
        }
    }
}
