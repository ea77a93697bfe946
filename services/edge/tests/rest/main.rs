//! The REST routes over leaves that respond as a test demands.
#![expect(clippy::unwrap_used, reason = "tests fail by panicking")]

mod fixture;
mod heartbeats;
mod proxy;
mod rejections;
