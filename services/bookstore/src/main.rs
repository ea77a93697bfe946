//! The bookstore service's program.

use std::process::ExitCode;

#[global_allocator]
static ALLOCATOR: vitalmesh_chassis::Allocator = vitalmesh_chassis::Allocator;

fn main() -> ExitCode {
    vitalmesh_chassis::main::<vitalmesh_bookstore::Config>()
}
