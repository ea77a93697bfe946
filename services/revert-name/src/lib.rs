//! Reverses names by grapheme cluster, and fails on demand.

mod faults;
mod reverter;

pub use reverter::Reverter;
