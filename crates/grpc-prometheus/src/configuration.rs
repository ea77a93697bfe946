//! What the user chooses, checked and registered.

mod builder;
mod checks;
mod descriptor;
mod error;
mod metrics;

pub use self::{
    builder::Builder,
    error::Error,
    metrics::{ClientMetrics, ServerMetrics},
};
