//! The contract between a service and the chassis.

use std::future::Future;
use std::net::SocketAddr;
use std::time::Duration;

use tower::BoxError;

use crate::assembly::Assembly;
use crate::settings::Settings;

/// A service. The type is its configuration: clap parses it from flags and variables.
pub trait Service: clap::Args + Send + 'static {
    /// The name in logs, heartbeats and Prometheus' label `job`.
    const NAME: &'static str;
    /// The default of `--grpc-address`.
    const GRPC_ADDRESS: &'static str;
    /// The default of `--scrape-address`.
    const SCRAPE_ADDRESS: &'static str;

    /// The settings that every service has.
    fn settings(&self) -> &Settings;

    /// The address of the REST port; `None` if the service has none.
    fn http_address(&self) -> Option<SocketAddr> {
        None
    }

    /// The longest time of a REST request. Default: `--call-timeout`.
    fn http_timeout(&self) -> Duration {
        self.settings().call_timeout
    }

    /// Assembles the service: registers servers, channels, routes and tasks. The ports are bound but
    /// not served yet.
    ///
    /// An [`InvalidSetting`](crate::InvalidSetting) that it returns ends the program with exit code
    /// 2, any other error with 1.
    fn build(self, assembly: &mut Assembly) -> impl Future<Output = Result<(), BoxError>> + Send;
}

/// The addresses of a service's ports.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Addresses {
    /// gRPC.
    pub grpc: SocketAddr,
    /// REST, where the service has it.
    pub http: Option<SocketAddr>,
    /// Metrics and health pages.
    pub scrape: SocketAddr,
}
