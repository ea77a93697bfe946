//! Reverses names by grapheme cluster, and fails on demand.

mod config;
mod faults;
mod reverter;

pub use config::Config;
pub use reverter::Reverter;
