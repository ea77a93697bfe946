#![doc = include_str!("../README.md")]
#![warn(missing_docs)]
#![expect(
    clippy::disallowed_types,
    reason = "metrics measure real time and depend on no runtime"
)]

// The way of a number: calls are recorded into series, and an exposition reads them. Arrows
// between the folders point down this list and skip no line but one: recording and exposition do
// not know one another. `arrows` holds them.
mod configuration;
mod exposition;
mod recording;
mod series;

#[cfg(test)]
mod arrows;

pub use configuration::{Builder, ClientMetrics, Error, ServerMetrics};
pub use exposition::{Exposition, Snapshot};
#[cfg(feature = "tonic")]
pub use recording::MeteredChannel;
pub use recording::{
    ClientLayer, Connection, Metered, MethodHandle, RequestBody, ResetFlag, ResponseBody,
    ResponseFuture, ServerLayer, UnboxedClientLayer,
};
pub use series::{Buckets, CodeLabel, LabelStyle, TraceId, ZeroInit};
