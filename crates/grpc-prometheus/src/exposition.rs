//! Reads series: as the page of a scrape, as metric families, as totals.

mod collector;
mod decoration;
mod foreign;
mod gather;
mod openmetrics;
mod page;
mod registry;
mod samples;
mod snapshot;

pub use self::{registry::Exposition, snapshot::Snapshot};

pub(crate) use self::registry::RegisterError;
