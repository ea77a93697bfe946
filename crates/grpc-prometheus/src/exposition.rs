//! Reads series: as the page of a scrape, as metric families, as totals.

mod accept;
mod collector;
mod decoration;
mod foreign;
mod gather;
mod groups;
mod gzip;
mod messages;
mod naming;
mod negotiation;
mod openmetrics;
mod page;
mod protobuf;
mod registry;
mod samples;
mod scrape;
mod snapshot;
mod split;

pub use self::{
    registry::Exposition,
    scrape::{PageBody, ScrapeService},
    snapshot::Snapshot,
};

pub(crate) use self::registry::RegisterError;
