//! The mesh's front door: proxies REST to the leaves, and stores their heartbeats.

mod config;
mod deadline;
mod expected;
mod heartbeats;
mod metrics;
mod rest;
mod roster;
mod store;
mod watch;

pub use config::Config;
pub use expected::{ExpectedServices, InvalidExpected};
pub use heartbeats::Heartbeats;
pub use rest::{Upstreams, router};
pub use roster::Roster;
pub use store::{Beat, InstanceStatus, OpenError, ServiceStatus, Store, StoreError, StoreSettings};
