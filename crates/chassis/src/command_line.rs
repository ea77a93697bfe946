//! The command line of a service's program.

use std::ffi::OsString;

use clap::error::ErrorKind;
use clap::{Command, FromArgMatches, Subcommand as _};

use crate::address::or_ip_alone;
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
/// An invalid setting; [`one_line`] formats it. `--help` and `--version` are errors too, see
/// [`clap::Error::use_stderr`].
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
        .mut_args(or_ip_alone)
}

/// Formats a command line error as one line, whatever characters the invalid value has.
pub fn one_line(error: &clap::Error) -> String {
    let text = error.render().to_string();
    let value_is_wrong = matches!(
        error.kind(),
        ErrorKind::InvalidValue | ErrorKind::ValueValidation
    );
    // The value may contain blank lines; clap's advice follows the last one.
    let said = match value_is_wrong {
        true => text.rsplit_once("\n\nFor more"),
        false => text.split_once("\n\n"),
    };
    let said = said.map_or(text.as_str(), |(said, _)| said);
    let said = said.strip_prefix("error: ").unwrap_or(said).trim_end();
    let said: String = said.chars().flat_map(visible).collect();
    match value_is_wrong {
        true => format!("{said}; it is set by this flag or by the variable in <>, see --help"),
        false => format!("{said}; see --help"),
    }
}

/// The character, escaped if it is a control character.
fn visible(c: char) -> impl Iterator<Item = char> {
    let (raw, spelled) = match c.is_control() {
        true => (None, Some(c.escape_default())),
        false => (Some(c), None),
    };
    raw.into_iter().chain(spelled.into_iter().flatten())
}
