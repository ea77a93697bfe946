//! Series as others read them: the page of a scrape, metric families, totals.

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

pub(crate) use self::registry::Refusal;
