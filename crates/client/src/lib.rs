#![doc = include_str!("../README.md")]
#![warn(missing_docs)]

mod any;
mod channel;
mod outbound;
mod span;

pub use self::any::AnyChannel;
pub use self::channel::Channel;
