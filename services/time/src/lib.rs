//! The time of day.

mod clock;
mod config;

pub use clock::Clock;
pub use config::Config;
