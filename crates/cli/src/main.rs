//! `mesh`: runs the whole mesh, or looks at a service.

mod count;
mod demo;
mod prometheus;
mod recommend;
mod services;
mod up;

use std::net::SocketAddr;
use std::process::ExitCode;

use clap::{Parser, Subcommand};
use vitalmesh_chassis::{VERSION, healthcheck, one_line, parse_address};

/// An observable mesh of gRPC services.
#[derive(Debug, Parser)]
#[command(name = "mesh", version = VERSION)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Count over the counter's calls, and print how long that takes
    Count(count::Count),
    /// A tour of two to three minutes: faults, the alert that they fire, and green again
    Demo(demo::Demo),
    /// Write recommendations of the bookstore to a file
    Recommend(recommend::Recommend),
    /// List the services of the mesh with their ports
    Services(services::Services),
    /// Run every service in this process
    Up(up::Up),
    /// Ask a gRPC server for its health; exit 0 if it is serving
    Healthcheck {
        /// The server's address
        #[arg(default_value = "127.0.0.1:50053", value_parser = edge_address)]
        address: SocketAddr,
    },
}

fn edge_address(text: &str) -> Result<SocketAddr, String> {
    parse_address(text, 50053)
}

#[global_allocator]
static ALLOCATOR: vitalmesh_chassis::Allocator = vitalmesh_chassis::Allocator;

fn main() -> ExitCode {
    let command = match Cli::try_parse() {
        Ok(cli) => cli.command,
        Err(error) if error.use_stderr() && error.kind() != HELP_ON_NO_COMMAND => {
            eprintln!("mesh: {}", one_line(&error));
            return ExitCode::from(2);
        }
        Err(error) => error.exit(),
    };
    vitalmesh_chassis::exit(match command {
        Command::Count(count) => count.run(),
        Command::Demo(demo) => demo.run(),
        Command::Recommend(recommend) => recommend.run(),
        Command::Services(services) => services.run(),
        Command::Up(up) => up.run(),
        Command::Healthcheck { address } => healthcheck(address),
    })
}

const HELP_ON_NO_COMMAND: clap::error::ErrorKind =
    clap::error::ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand;

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_command_line_is_well_formed() {
        Cli::command().debug_assert();
    }
}
