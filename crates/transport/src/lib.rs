#![doc = include_str!("../README.md")]
#![warn(missing_docs)]

mod link;
mod transport;
mod url;

pub use self::transport::{Connect, Transport};
pub use self::url::service_url;
