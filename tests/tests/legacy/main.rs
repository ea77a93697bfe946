//! Calls under the names of older systems: answered by the same code, counted under those names.
#![expect(clippy::unwrap_used, reason = "tests fail by panicking")]

mod books;
mod fixture;
mod increase;
mod names;
