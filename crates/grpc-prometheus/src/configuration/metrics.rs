//! Handles of the metrics of a server or client.

use std::sync::Arc;

use super::builder::Builder;
use crate::{
    exposition::Snapshot,
    recording::{ClientLayer, Connection, MethodHandle, Registration, ServerLayer},
    series::Connections,
};

/// Metrics of a server's calls: `grpc_server_…`.
///
/// Clones share their series. So do registrations with the same names in one
/// [`Exposition`](crate::Exposition).
#[derive(Clone, Debug)]
pub struct ServerMetrics {
    registration: &'static Registration,
}

/// Metrics of a client's calls: `grpc_client_…`.
///
/// Clones share their series. So do registrations with the same names in one
/// [`Exposition`](crate::Exposition).
#[derive(Clone, Debug)]
pub struct ClientMetrics {
    registration: &'static Registration,
}

// === impl ServerMetrics ===

impl ServerMetrics {
    /// Returns a builder. All options have defaults.
    pub fn builder() -> Builder<Self> {
        Builder::default()
    }

    /// A layer that records the calls of the service it wraps.
    pub fn layer(&self) -> ServerLayer {
        ServerLayer::new(self.registration)
    }

    /// Looks up the method of a request path, for [`ServerLayer::resolved_by`].
    ///
    /// Excluded methods have a handle too. `None` if calls of this path count as `unknown`.
    pub fn method(&self, path: &str) -> Option<MethodHandle> {
        MethodHandle::find(self.registration, path)
    }

    /// Totals over all methods, without a scrape.
    pub fn snapshot(&self) -> Snapshot {
        Snapshot::take(&self.registration.store)
    }

    /// Counts a connection from now until the returned value is dropped. The families
    /// `grpc_server_connections`, `grpc_server_connections_opened_total` and
    /// `grpc_server_connections_closed_total` appear with the first one.
    pub fn connection<IO>(&self, io: IO) -> Connection<IO> {
        let connections = &self.registration.store.connections;
        let connections = connections.get_or_init(|| Arc::new(Connections::new()));
        Connection::new(Arc::clone(connections), io)
    }

    pub(crate) const fn new(registration: &'static Registration) -> Self {
        Self { registration }
    }
}

// === impl ClientMetrics ===

impl ClientMetrics {
    /// Returns a builder. All options have defaults.
    pub fn builder() -> Builder<Self> {
        Builder::default()
    }

    /// A layer that records the calls made through the service it wraps.
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
