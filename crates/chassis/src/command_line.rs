//! The command line of a service's program.

use std::any::TypeId;
use std::ffi::OsString;
use std::path::PathBuf;

use clap::builder::{PathBufValueParser, TypedValueParser};
use clap::{Arg, Command, FromArgMatches, Subcommand as _};

use crate::address::in_every_form;
use crate::process::VERSION;
use crate::service::Service;

/// The parsed command line of a service's program.
#[derive(Debug)]
pub(crate) struct Invocation<S> {
    pub(crate) config: S,
    pub(crate) command: Option<Subcommand>,
}

#[derive(Clone, Copy, Debug, clap::Subcommand)]
pub(crate) enum Subcommand {
    /// Check the gRPC health of the running service; exit code 0 if it is SERVING
    Healthcheck,
}

/// Parses a service's configuration from a command line, whose first word is the program's name,
/// and from the environment.
///
/// # Errors
///
/// An invalid setting; [`one_line`](crate::one_line) formats it. `--help` and `--version` are errors
/// too, see [`clap::Error::use_stderr`].
pub fn parse<S: Service>(
    words: impl IntoIterator<Item = impl Into<OsString> + Clone>,
) -> Result<S, clap::Error> {
    S::from_arg_matches(&command::<S>().try_get_matches_from(words)?)
}

pub(crate) fn parse_invocation<S: Service>(
    words: impl IntoIterator<Item = impl Into<OsString> + Clone>,
) -> Result<Invocation<S>, clap::Error> {
    let command = Subcommand::augment_subcommands(command::<S>()).subcommand_required(false);
    let matches = command.try_get_matches_from(words)?;
    Ok(Invocation {
        config: S::from_arg_matches(&matches)?,
        command: match matches.subcommand_name() {
            Some(_) => Some(Subcommand::from_arg_matches(&matches)?),
            None => None,
        },
    })
}

/// The command line of a service: every setting with its flag, variable and default.
pub fn command<S: Service>() -> Command {
    S::augment_args(Command::new(S::NAME))
        .version(VERSION)
        .mut_arg("grpc_address", |arg| {
            arg.required(false).default_value(S::GRPC_ADDRESS)
        })
        .mut_arg("scrape_address", |arg| {
            arg.required(false).default_value(S::SCRAPE_ADDRESS)
        })
        // Reports -1 as an invalid value, not as an unknown flag.
        .mut_args(|arg| match arg.get_action().takes_values() {
            true => arg.allow_negative_numbers(true),
            false => arg,
        })
        .mut_args(in_every_form)
        .mut_args(path_without_spaces_around)
}

/// Every other type refuses or ignores the spaces.
fn path_without_spaces_around(arg: Arg) -> Arg {
    if arg.get_value_parser().type_id() != TypeId::of::<PathBuf>() {
        return arg;
    }
    arg.value_parser(PathBufValueParser::new().try_map(|path| {
        let is_padded = path.to_str().is_some_and(|path| path.trim() != path);
        match is_padded {
            true => Err("expected a path without spaces around it"),
            false => Ok(path),
        }
    }))
}
