//! The context of the call that a task works for.

use std::future::Future;
use std::time::Duration;

use http::HeaderMap;
use tokio::task::futures::TaskLocalFuture;
use tokio::time::Instant;

use crate::timeout::requested_timeout;
use crate::trace::{TRACEPARENT, TraceContext};

tokio::task_local! {
    static CURRENT: CallContext;
}

/// The trace and the deadline of the call that the current task works for.
///
/// The server stack sets it around each poll of a handler and of its response body; client
/// channels and log formats read it. A task that a handler spawns does not inherit it.
#[derive(Clone, Copy, Debug)]
pub struct CallContext {
    /// The trace, with the span of this hop.
    pub trace: TraceContext,
    /// When the caller stops waiting; `None` if the call has no deadline.
    pub deadline: Option<Instant>,
}

// === impl CallContext ===

impl CallContext {
    /// The context of a request with these headers.
    ///
    /// The trace continues in a new span, or begins here if there is no valid `traceparent`. The
    /// deadline is the caller's `grpc-timeout`, capped at `limit`.
    pub fn from_headers(headers: &HeaderMap, limit: Option<Duration>) -> Self {
        let trace = headers
            .get(TRACEPARENT)
            .and_then(TraceContext::parse)
            .map_or_else(TraceContext::root, TraceContext::child);
        let requested = requested_timeout(headers);
        let allowed = match (requested, limit) {
            (Some(requested), Some(limit)) => Some(requested.min(limit)),
            (requested, limit) => requested.or(limit),
        };
        Self {
            trace,
            deadline: allowed.and_then(|allowed| Instant::now().checked_add(allowed)),
        }
    }

    /// The context of work that no request caused, such as a scheduled task: a new trace, and a
    /// deadline `limit` from now.
    pub fn root(limit: Option<Duration>) -> Self {
        Self::from_headers(&HeaderMap::new(), limit)
    }

    /// The context of the running task, if it has one.
    pub fn current() -> Option<Self> {
        CURRENT.try_with(|context| *context).ok()
    }

    /// Runs a future under this context.
    pub fn scope<F: Future>(self, future: F) -> TaskLocalFuture<Self, F> {
        CURRENT.scope(self, future)
    }

    /// Runs a closure under this context.
    pub fn sync_scope<T>(self, run: impl FnOnce() -> T) -> T {
        CURRENT.sync_scope(self, run)
    }
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;
    use crate::GRPC_TIMEOUT;

    #[tokio::test(start_paused = true)]
    async fn the_deadline_is_the_shorter_of_the_callers_and_the_servers_timeout() {
        let mut headers = HeaderMap::new();
        let limit = Some(Duration::from_secs(5));
        let left = |context: CallContext| context.deadline.map(|at| at - Instant::now());
        assert_eq!(left(CallContext::from_headers(&headers, limit)), limit);
        headers.insert(GRPC_TIMEOUT, HeaderValue::from_static("2S"));
        let two = Some(Duration::from_secs(2));
        assert_eq!(left(CallContext::from_headers(&headers, limit)), two);
        assert_eq!(left(CallContext::from_headers(&headers, None)), two);
        headers.insert(GRPC_TIMEOUT, HeaderValue::from_static("9S"));
        assert_eq!(left(CallContext::from_headers(&headers, limit)), limit);
    }
}
