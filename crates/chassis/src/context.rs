//! What a call carries from hop to hop: its trace and its deadline.

mod timeout;
mod trace;

use std::future::Future;
use std::time::Duration;

use http::HeaderMap;
use tokio::task::futures::TaskLocalFuture;
use tokio::time::Instant;

pub(crate) use self::timeout::{GRPC_TIMEOUT, asked_timeout, timeout_header};
pub(crate) use self::trace::TRACEPARENT;
pub use self::trace::TraceContext;

tokio::task_local! {
    static CURRENT: CallContext;
}

/// The call that the current task works for.
///
/// Set by the server stack around each handler and each poll of its response body, read by
/// client channels and by the log format. A task that a handler spawns does not inherit it.
#[derive(Clone, Copy, Debug)]
pub struct CallContext {
    /// The trace, and this hop's own span in it.
    pub trace: TraceContext,
    /// When the caller stops waiting; `None` where nothing bounds the call.
    pub deadline: Option<Instant>,
}

// === impl CallContext ===

impl CallContext {
    /// The context of a call that arrives with these headers: its trace goes on in a new span,
    /// or begins here; its deadline is the caller's `grpc-timeout`, but at most `limit`.
    pub fn from_headers(headers: &HeaderMap, limit: Option<Duration>) -> Self {
        let trace = headers
            .get(TRACEPARENT)
            .and_then(TraceContext::parse)
            .map_or_else(TraceContext::root, TraceContext::child);
        let asked = asked_timeout(headers);
        let allowed = match (asked, limit) {
            (Some(asked), Some(limit)) => Some(asked.min(limit)),
            (asked, limit) => asked.or(limit),
        };
        Self {
            trace,
            deadline: allowed.and_then(|allowed| Instant::now().checked_add(allowed)),
        }
    }

    /// The context of work that no call asked for, such as a task.
    pub fn root(limit: Option<Duration>) -> Self {
        Self::from_headers(&HeaderMap::new(), limit)
    }

    /// The context that the running task works under, if any.
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

    #[tokio::test(start_paused = true)]
    async fn the_shorter_of_the_callers_and_the_servers_time_is_the_deadline() {
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
