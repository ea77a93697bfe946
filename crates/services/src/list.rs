//! The list: one line per service, sorted by name.

use crate::Entry;

/// Every service of the mesh.
pub const SERVICES: &[Entry] = &[
    Entry::of::<vitalmesh_bookstore::Config>(),
    Entry::of::<vitalmesh_counter::Config>(),
    Entry::of::<vitalmesh_edge::Config>(),
    Entry::of::<vitalmesh_revert_name::Config>(),
    Entry::of::<vitalmesh_time::Config>(),
];
