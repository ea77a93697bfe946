//! OTLP's messages and clients, generated from the official definitions below `proto/`.
#![allow(
    dead_code,
    missing_debug_implementations,
    missing_docs,
    unreachable_pub,
    clippy::all,
    clippy::use_self,
    reason = "generated code"
)]

include!(concat!(env!("OUT_DIR"), "/otlp.rs"));

pub use self::opentelemetry::proto::*;
