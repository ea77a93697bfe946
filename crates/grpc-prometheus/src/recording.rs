//! Records calls into series: layers, futures and bodies.

mod body;
mod boxed_errors;
mod call;
mod clock;
mod code;
mod connection;
mod content_type;
mod flag_pool;
mod frames;
mod future;
mod handle;
mod head;
mod headers;
mod layer;
mod meter;
mod nesting;
mod registration;
mod reset;
mod role;
mod timeout;
mod trace;

#[cfg(feature = "tonic")]
pub use self::layer::MeteredChannel;
pub use self::{
    body::{RequestBody, ResponseBody},
    boxed_errors::BoxedErrors,
    connection::Connection,
    content_type::ContentType,
    future::ResponseFuture,
    handle::MethodHandle,
    layer::{ClientLayer, MeteredClient, MeteredServer, ServerLayer, UnboxedClientLayer},
    reset::ResetFlag,
    role::{Client, Role, Server},
};

pub(crate) use self::registration::Registration;
