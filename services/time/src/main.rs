//! The time service's program.

use std::process::ExitCode;

fn main() -> ExitCode {
    vitalmesh_chassis::main::<vitalmesh_time::Config>()
}
