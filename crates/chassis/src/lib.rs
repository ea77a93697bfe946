#![doc = include_str!("../README.md")]
#![warn(missing_docs)]

mod address;
mod assembly;
mod command_line;
mod command_line_error;
mod error;
mod log_level;
mod process;
mod program;
mod running;
mod service;
mod settings;
mod stages;
mod start;
mod upstream;

/// The allocator of a service's program, for `#[global_allocator]`. A call makes dozens of
/// short-lived allocations on several threads; glibc's allocator takes a tenth of a call for them.
pub use mimalloc::MiMalloc as Allocator;

pub use self::address::{default_address, parse_address, parse_ip, reachable};
pub use self::assembly::Assembly;
pub use self::command_line::{command, parse};
pub use self::command_line_error::one_line;
pub use self::error::{BoxError, InvalidSetting, StartError};
pub use self::process::{REVISION, VERSION};
pub use self::program::{exit, healthcheck, log, main, run, run_until};
pub use self::running::Running;
pub use self::service::{Addresses, Service};
pub use self::settings::{Settings, duration};
pub use self::stages::Stages;
pub use self::start::{Bound, bind};
pub use self::upstream::Upstream;
pub use ::http::{Method, Uri};
pub use vitalmesh_client::{AnyChannel, Channel};
pub use vitalmesh_context::{CallContext, TraceContext};
pub use vitalmesh_server::{
    Answer, Contracts, CorsOrigins, LegacyContract, Problem, Route, ServiceError, readable,
};
pub use vitalmesh_tasks::{Schedule, ScheduleError, Task};
pub use vitalmesh_telemetry::{LogFormat, TraceSettings};
pub use vitalmesh_transport::service_url;
