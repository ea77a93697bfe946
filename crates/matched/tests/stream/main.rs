//! Calls over a stream whose server does what each request tells it, in paused time.
#![expect(clippy::unwrap_used, reason = "helpers of tests are tests")]

mod breaks;
mod calls;
mod properties;
mod server;
