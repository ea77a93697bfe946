//! Calls over a stream to a server that each request controls, in paused time.
#![expect(clippy::unwrap_used, reason = "tests fail by panicking")]

mod breaks;
mod calls;
mod properties;
mod server;
