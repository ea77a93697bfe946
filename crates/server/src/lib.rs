#![doc = include_str!("../README.md")]
#![warn(missing_docs)]

mod health;
mod icon;
mod legacy;
mod listener;
mod methods;
pub mod pb;
mod problem;
mod reflection;
mod request;
mod rest;
mod router;
mod scrape;
mod services;
mod stack;
mod standard;

pub use self::health::Health;
pub use self::legacy::{LegacyContract, LegacyError, Mismatch};
pub use self::listener::{Limits, Listener, Shutdown};
pub use self::methods::{Answer, Methods};
pub use self::problem::{Problem, readable};
pub use self::rest::{CorsOrigins, InvalidOrigins, Route, rest_stack};
pub use self::scrape::{Phase, Readiness, Scrape};
pub use self::services::{Contracts, ServiceError, Services};
pub use self::stack::{GrpcSettings, grpc_stack};
