//! The mesh's front door: proxies REST to the leaves, receives and stores their heartbeats.

mod config;
mod error;
mod expected;
mod heartbeats;
mod metrics;
mod name;
mod proxy;
mod rest;
mod roster;
mod store;

pub use config::Config;
pub use expected::{ExpectedServices, InvalidExpected};
pub use heartbeats::Heartbeats;
pub use proxy::{Channel, Upstreams};
pub use rest::router;
pub use roster::Roster;
pub use store::{Beat, OpenError, ServiceStatus, Store, StoreError, StoreSettings};
