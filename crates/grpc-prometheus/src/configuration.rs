//! Options of servers and clients: checked, then registered.

mod builder;
mod checks;
mod descriptor;
mod error;
mod metrics;
mod side;

pub use self::{
    builder::Builder,
    error::{DescriptorSetError, Error},
    metrics::{ClientMetrics, ServerMetrics},
};
