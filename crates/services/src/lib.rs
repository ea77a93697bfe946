//! The list of the mesh's services, and what programs derive from it.
//!
//! [`SERVICES`] has one line per service. Everything else about a service comes from its own type
//! and command line: see [`ServiceInfo`] for what is known of it, and [`bind_all`] to run all of
//! them in one process.
#![warn(missing_docs)]

mod bound;
mod entry;
mod info;
mod list;
mod mesh;

pub use self::bound::BoundService;
pub use self::entry::Entry;
pub use self::info::{Role, ServiceInfo, Upstream};
pub use self::list::SERVICES;
pub use self::mesh::{bind_all, expected_services};
