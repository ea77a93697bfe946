//! A service's store: one SQLite file, which one process has and one task of it writes.
//!
//! What a store keeps, and what it does where its file is damaged, is the service's own: it looks
//! at its [`Database`] when it opens it, and starts a [`Queue`] before its writer.

mod claim;
mod database;
mod queue;
mod session;

pub use self::claim::ClaimError;
pub use self::database::{Damage, Database, Limits, Synchronous};
pub use self::queue::{MOST_WAITING, NoAnswer, Queue, Write};
pub use self::session::{Session, Unwritable};
