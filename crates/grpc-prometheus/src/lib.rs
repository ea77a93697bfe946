#![doc = include_str!("../README.md")]
#![warn(missing_docs)]

mod body;
mod buckets;
mod builder;
mod call;
mod cells;
mod clock;
mod code;
mod collector;
mod connections;
mod decoration;
mod descriptor;
mod error;
mod exemplar;
mod exposition;
mod families;
mod flag_pool;
mod foreign;
mod frames;
mod future;
mod gather;
mod handle;
mod headers;
mod labels;
mod layer;
mod layout;
mod meter;
mod methods;
mod metrics;
mod open;
mod openmetrics;
mod page;
mod paths;
mod reset;
mod samples;
mod shard;
mod store;
mod timeout;

pub use body::{RequestBody, ResponseBody};
pub use buckets::Buckets;
pub use builder::Builder;
pub use connections::Connection;
pub use error::Error;
pub use exemplar::TraceId;
pub use exposition::Exposition;
pub use families::{CodeLabel, LabelStyle, ZeroInit};
pub use future::ResponseFuture;
pub use handle::MethodHandle;
#[cfg(feature = "tonic")]
pub use layer::MeteredChannel;
pub use layer::{ClientLayer, Metered, ServerLayer, UnboxedClientLayer};
pub use metrics::{ClientMetrics, ServerMetrics, Snapshot};
pub use reset::ResetFlag;
