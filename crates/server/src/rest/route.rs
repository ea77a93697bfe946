//! Routes whose series start at 0. Without the 0, the first error of a route would be no increase to
//! Prometheus.

use http::Method;
use vitalmesh_status::{CLIENT_CLOSED_REQUEST, UPSTREAM_STATUSES};

use super::metrics::HttpMetrics;

/// A method and path of a REST API, with the statuses that it can return. Each combination is one
/// series.
#[derive(Clone, Debug)]
pub struct Route {
    method: Method,
    path: &'static str,
    statuses: &'static [u16],
    has_upstreams: bool,
}

/// The statuses of every route: the client disconnects, or the handler panics.
const ALWAYS: [u16; 2] = [CLIENT_CLOSED_REQUEST, 500];

// === impl Route ===

impl Route {
    /// A route without upstream calls. `path` is the router's pattern; `statuses` need not have 499 and
    /// 500.
    pub const fn new(method: Method, path: &'static str, statuses: &'static [u16]) -> Self {
        Self {
            method,
            path,
            statuses,
            has_upstreams: false,
        }
    }

    /// A route that calls upstream services over gRPC: it can also return the status of every gRPC
    /// code.
    pub const fn with_upstreams(
        method: Method,
        path: &'static str,
        statuses: &'static [u16],
    ) -> Self {
        Self {
            method,
            path,
            statuses,
            has_upstreams: true,
        }
    }

    pub(super) fn create_series(&self, metrics: &HttpMetrics) {
        let upstream: &[u16] = if self.has_upstreams {
            &UPSTREAM_STATUSES
        } else {
            &[]
        };
        let statuses = self.statuses.iter().chain(upstream).chain(&ALWAYS);
        metrics.create_series(self.path, &self.method, statuses.copied());
    }
}
