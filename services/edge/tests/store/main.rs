//! The store's promises: an acknowledged beat stays, and no failure stops the store.
#![expect(clippy::unwrap_used, reason = "tests fail by panicking")]

mod beats;
mod corruption;
mod failures;
mod fixture;
mod instances;
mod limits;
mod migration;
mod opening;
mod retention;
