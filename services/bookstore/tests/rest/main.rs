//! Every REST route over a bookstore of its own, or over one that fails on demand.
#![expect(clippy::unwrap_used, reason = "tests fail by panicking")]

mod books;
mod creation;
mod downloads;
mod fixture;
mod page;
