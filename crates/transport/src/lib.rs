#![doc = include_str!("../README.md")]
#![warn(missing_docs)]

mod body;
mod failure;
mod link;
mod transport;
mod url;

pub use self::body::ResponseBody;
pub use self::transport::{Connect, Transport};
pub use self::url::service_url;
