//! A bound service of any type.

use std::fmt;

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use vitalmesh_chassis::{Addresses, Bound, Running, Service, Settings, StartError};

/// A service whose ports are bound, and nothing more.
pub struct BoundService {
    name: &'static str,
    bound: Box<dyn AnyBound>,
}

/// [`Bound`] without the type of the configuration.
trait AnyBound: Send {
    fn addresses(&self) -> Addresses;
    fn settings(&self) -> &Settings;
    fn start(self: Box<Self>) -> BoxFuture<'static, Result<Running, StartError>>;
}

// === impl BoundService ===

impl BoundService {
    pub(crate) fn new<S: Service>(bound: Bound<S>) -> Self {
        Self {
            name: S::NAME,
            bound: Box::new(bound),
        }
    }

    /// The service's name.
    pub const fn name(&self) -> &'static str {
        self.name
    }

    /// The bound addresses, with the ports that the system chose for port 0.
    pub fn addresses(&self) -> Addresses {
        self.bound.addresses()
    }

    /// The settings that every service has.
    pub fn settings(&self) -> &Settings {
        self.bound.settings()
    }

    /// Builds the service and serves it.
    ///
    /// # Errors
    ///
    /// As [`Bound::start`].
    pub async fn start(self) -> Result<Running, StartError> {
        self.bound.start().await
    }
}

impl fmt::Debug for BoundService {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BoundService")
            .field("name", &self.name)
            .field("addresses", &self.addresses())
            .finish_non_exhaustive()
    }
}

// === impl AnyBound ===

impl<S: Service> AnyBound for Bound<S> {
    fn addresses(&self) -> Addresses {
        Self::addresses(self)
    }

    fn settings(&self) -> &Settings {
        Self::settings(self)
    }

    fn start(self: Box<Self>) -> BoxFuture<'static, Result<Running, StartError>> {
        Self::start(*self).boxed()
    }
}
