//! grpc-prometheus
#![warn(missing_docs)]

mod body;
mod buckets;
mod builder;
mod call;
mod cells;
mod code;
mod collector;
mod descriptor;
mod error;
mod exposition;
mod families;
mod frames;
mod future;
mod gather;
mod layer;
mod methods;
mod metrics;
mod store;

pub use body::{RequestBody, ResponseBody};
pub use buckets::Buckets;
pub use builder::Builder;
pub use error::Error;
pub use exposition::encode;
pub use families::{CodeLabel, LabelStyle, ZeroInit};
pub use future::ResponseFuture;
#[cfg(feature = "tonic")]
pub use layer::MeteredChannel;
pub use layer::{ClientLayer, Metered, ServerLayer};
pub use metrics::{ClientMetrics, ServerMetrics, Snapshot};
