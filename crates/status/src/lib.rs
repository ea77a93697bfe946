#![doc = include_str!("../README.md")]
#![warn(missing_docs)]

mod body;
mod code;
mod codec;
mod http;

pub use self::body::{StatusBody, trailers};
pub use self::code::{UPSTREAM_STATUSES, code_name, http_status, is_fault};
pub use self::codec::{RequestCodec, RequestDecoder};
pub use self::http::{CLIENT_CLOSED_REQUEST, method_label};
