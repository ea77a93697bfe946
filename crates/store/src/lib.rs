#![doc = include_str!("../README.md")]
#![warn(missing_docs)]

mod claim;
mod database;
mod queue;
mod task;
mod writer;

pub use self::claim::ClaimError;
pub use self::database::{Damage, Database, Limits, Synchronous};
pub use self::queue::{QUEUE_CAPACITY, Queue, SubmitError};
pub use self::writer::Writer;
