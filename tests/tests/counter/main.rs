//! The counter over the wire: its four kinds of call, REST, and many callers on one stream.
#![expect(clippy::unwrap_used, reason = "tests fail by panicking")]

mod calls;
mod command;
mod fixture;
mod matched;
mod streams;
