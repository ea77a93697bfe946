//! The spans of the services, as a collector receives them.
#![expect(clippy::unwrap_used, reason = "tests fail by panicking")]

mod correlation;
mod export;
mod fixture;
mod sampling;
mod trees;
