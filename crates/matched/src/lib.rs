#![doc = include_str!("../README.md")]
#![warn(missing_docs)]

mod matched;
mod multiplexer;
mod protocol;
mod requests;
mod settings;
mod slots;
mod stream_task;

pub use self::matched::Matched;
pub use self::protocol::Protocol;
pub use self::requests::Requests;
pub use self::settings::{Reconnect, Settings, Stats};
