#![doc = include_str!("../README.md")]
#![warn(missing_docs)]

mod call;
mod deadline;
mod service;
mod timeout;
mod trace;

pub use self::call::CallContext;
pub use self::deadline::{Deadline, DeadlineBody, DeadlineFuture, DeadlineLayer};
pub use self::service::ServiceContext;
pub use self::timeout::{GRPC_TIMEOUT, requested_timeout, timeout_header};
pub use self::trace::{TRACEPARENT, TraceContext};
