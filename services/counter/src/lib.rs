//! Increases a number, in each kind of call that gRPC has and by REST.

mod config;
mod counter;
mod error;
mod matched;
mod number;
mod rest;

pub use config::Config;
pub use counter::Counter;
pub use matched::Increase;
pub use number::{OutOfRange, increase};
pub use rest::router;
