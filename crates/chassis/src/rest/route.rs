//! The routes whose series are there from the start, at 0: else the first fault of a route would
//! be no increase to Prometheus.

use http::Method;

use super::metrics::{CLIENT_CLOSED, HttpMetrics};
use crate::problem::UPSTREAM_STATUSES;

/// A method of a REST route, with the statuses that it may answer.
///
/// There is one series for each: of the routes that a service knows, of none that a client makes up.
#[derive(Clone, Debug)]
pub struct Route {
    method: Method,
    path: &'static str,
    answers: &'static [u16],
    asks: bool,
}

/// What may happen to every request: its client leaves, its handler panics.
const ALWAYS: [u16; 2] = [CLIENT_CLOSED, 500];

// === impl Route ===

impl Route {
    /// A route that answers by itself. `path` as the router has it; `answers` without 499 and 500.
    pub const fn new(method: Method, path: &'static str, answers: &'static [u16]) -> Self {
        Self {
            method,
            path,
            answers,
            asks: false,
        }
    }

    /// A route that asks a service over gRPC, and may answer whatever its codes become.
    pub const fn asking(method: Method, path: &'static str, answers: &'static [u16]) -> Self {
        Self {
            method,
            path,
            answers,
            asks: true,
        }
    }

    pub(super) fn begin(&self, metrics: &HttpMetrics) {
        let asked: &[u16] = if self.asks { &UPSTREAM_STATUSES } else { &[] };
        let statuses = self.answers.iter().chain(asked).chain(&ALWAYS);
        metrics.begin(self.path, &self.method, statuses.copied());
    }
}
