//! The edge service's program.

use std::process::ExitCode;

fn main() -> ExitCode {
    vitalmesh_chassis::main::<vitalmesh_edge::Config>()
}
