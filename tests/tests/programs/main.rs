//! The programs: how they start, reject settings, log and stop.
#![expect(clippy::unwrap_used, reason = "tests fail by panicking")]

mod descriptors;
mod fixture;
mod logs;
mod mesh_up;
mod settings;
mod shutdown;
