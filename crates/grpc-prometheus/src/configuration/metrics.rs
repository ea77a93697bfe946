//! The metrics of one side, and the way to them.

use std::sync::Arc;

use super::builder::Builder;
use crate::{
    exposition::Snapshot,
    recording::{ClientLayer, Connection, MethodHandle, Registration, ServerLayer},
    series::Connections,
};

/// Metrics of the calls that a server answers: `grpc_server_…`.
///
/// A handle: clones share their series, and so do all registrations on one registry.
#[derive(Clone, Debug)]
pub struct ServerMetrics {
    registration: &'static Registration,
}

/// Metrics of the calls that a client makes: `grpc_client_…`.
///
/// A handle: clones share their series, and so do all registrations on one registry.
#[derive(Clone, Debug)]
pub struct ClientMetrics {
    registration: &'static Registration,
}

// === impl ServerMetrics ===

impl ServerMetrics {
    /// Starts a configuration; nothing is required.
    pub fn builder() -> Builder<Self> {
        Builder::default()
    }

    /// A layer that counts the calls of the service it wraps.
    pub fn layer(&self) -> ServerLayer {
        ServerLayer::new(self.registration)
    }

    /// Looks up the method of a request path, for [`ServerLayer::resolved_by`].
    ///
    /// A method that is excluded has a handle too: its calls are not counted. `None` for every
    /// path whose calls count as `unknown`.
    pub fn method(&self, path: &str) -> Option<MethodHandle> {
        MethodHandle::find(self.registration, path)
    }

    /// Totals over all methods, without a scrape.
    pub fn snapshot(&self) -> Snapshot {
        Snapshot::take(&self.registration.store)
    }

    /// Counts a connection until the value is dropped: `grpc_server_connections` and its
    /// `_opened_total` and `_closed_total`, which are there from the first use of this.
    pub fn connection<IO>(&self, io: IO) -> Connection<IO> {
        let connections = &self.registration.store.connections;
        let connections = connections.get_or_init(|| Arc::new(Connections::default()));
        Connection::new(Arc::clone(connections), io)
    }

    pub(crate) const fn new(registration: &'static Registration) -> Self {
        Self { registration }
    }
}

// === impl ClientMetrics ===

impl ClientMetrics {
    /// Starts a configuration; nothing is required.
    pub fn builder() -> Builder<Self> {
        Builder::default()
    }

    /// A layer that counts the calls made through the service it wraps.
    pub fn layer(&self) -> ClientLayer {
        ClientLayer::new(self.registration)
    }

    /// Totals over all methods, without a scrape.
    pub fn snapshot(&self) -> Snapshot {
        Snapshot::take(&self.registration.store)
    }

    pub(crate) const fn new(registration: &'static Registration) -> Self {
        Self { registration }
    }
}
