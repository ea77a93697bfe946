//! What the mesh's services have in common: ports, limits, deadlines, health, metrics, tasks,
//! logs and shutdown.
//!
//! A service is a configuration type that implements [`Service`]; its `main` is one call of
//! [`main`]. What it serves is plain tonic and axum and knows nothing of this crate.
#![warn(missing_docs)]

mod alias;
mod assembly;
mod callee;
mod channel;
mod config;
mod context;
mod export;
mod health;
mod heartbeat;
mod http2;
mod listener;
mod methods;
mod problem;
mod process;
mod rest;
mod routes;
mod running;
mod runtime;
mod scrape;
mod server;
mod stack;
mod tasks;
mod telemetry;
mod trace;
mod vitals;

/// The allocator for a service's program, as its `#[global_allocator]`. A call makes a few dozen
/// short-lived allocations on several threads, for which glibc's takes a tenth of the call.
pub use mimalloc::MiMalloc as Allocator;

pub use self::alias::{AliasError, LegacyContract, Mismatch};
pub use self::assembly::Assembly;
pub use self::callee::Callee;
pub use self::channel::Channel;
pub use self::config::{Settings, duration, one_line, parse, service_url};
pub use self::context::{CallContext, TraceContext};
pub use self::heartbeat::{EDGE, HeartbeatSettings};
pub use self::problem::{Problem, readable};
pub use self::process::{REVISION, VERSION};
pub use self::rest::Route;
pub use self::routes::Answer;
pub use self::running::Running;
pub use self::runtime::{exit, healthcheck, log, main, run, run_until};
pub use self::server::{Addresses, Bound, Service, StartError, bind};
pub use self::stack::BoxError;
pub use self::tasks::{Schedule, ScheduleError, Task};
pub use self::telemetry::LogFormat;
pub use self::trace::{Collector, Ratio, TraceSettings};
pub use ::http::{Method, Uri};
