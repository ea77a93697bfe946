#![doc = include_str!("../README.md")]
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
