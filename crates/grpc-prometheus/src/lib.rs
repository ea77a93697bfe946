#![doc = include_str!("../README.md")]
#![warn(missing_docs)]
#![expect(
    clippy::disallowed_types,
    reason = "metrics measure real time and depend on no runtime"
)]

// The way of a number: recording writes it into series, and exposition reads it from there.
// configuration uses all three, recording and exposition use series only, and series uses none.
// The tests in `arrows` enforce this.
mod configuration;
mod exposition;
mod recording;
mod series;

#[cfg(test)]
mod arrows;

pub use configuration::{Builder, ClientMetrics, DescriptorSetError, Error, ServerMetrics};
pub use exposition::{Exposition, PageBody, ScrapeService, Snapshot};
#[cfg(feature = "tonic")]
pub use recording::MeteredChannel;
pub use recording::{
    BoxedErrors, Client, ClientLayer, Connection, ContentType, MeteredClient, MeteredServer,
    MethodHandle, RequestBody, ResetFlag, ResponseBody, ResponseFuture, Role, Server, ServerLayer,
    UnboxedClientLayer,
};
pub use series::{Buckets, CodeLabel, LabelStyle, RpcConventions, TraceId, ZeroInit};
