//! Settings: each is one field here that is flag, variable, default, type and help.

use std::ffi::OsString;
use std::net::SocketAddr;
use std::time::Duration;

use clap::error::ErrorKind;
use clap::{ArgAction, Args, Command, FromArgMatches, Subcommand};
use http::Uri;
use tracing_subscriber::filter::Targets;

use crate::server::Service;
use crate::telemetry::LogFormat;
use crate::trace::TraceSettings;

/// The settings that every service has.
#[derive(Args, Clone, Debug)]
pub struct Settings {
    /// Where gRPC is served
    #[arg(long, env)]
    pub grpc_address: SocketAddr,

    /// Where /metrics, /livez and /readyz are served
    #[arg(long, env)]
    pub scrape_address: SocketAddr,

    /// Open connections a port accepts; more wait
    #[arg(long, env, default_value_t = 10_000, value_parser = at_least_one)]
    pub max_connections: usize,

    /// gRPC calls in progress; more are refused with RESOURCE_EXHAUSTED
    #[arg(long, env, default_value_t = 1024, value_parser = at_least_one)]
    pub max_calls: usize,

    /// Calls in progress on one HTTP/2 connection
    #[arg(long, env, default_value_t = 256, value_parser = clap::value_parser!(u32).range(1..))]
    pub max_streams: u32,

    /// The longest a call may take, whatever its caller allows
    #[arg(long, env, default_value = "30s", value_parser = duration)]
    pub call_timeout: Duration,

    /// The longest a streaming call may take
    #[arg(long, env, default_value = "1h", value_parser = duration)]
    pub stream_timeout: Duration,

    /// How long new calls are still taken after the health check says NOT_SERVING
    #[arg(long, env, default_value = "1s", value_parser = duration)]
    pub lame_duck: Duration,

    /// How long calls in progress may take to end on shutdown
    #[arg(long, env, default_value = "10s", value_parser = duration)]
    pub drain_timeout: Duration,

    /// Whether contracts of older clients are served beside the new ones: on or off
    #[arg(long, env, default_value = "on", value_parser = on_or_off, action = ArgAction::Set)]
    pub legacy_names: bool,

    /// Whether each gRPC call's metadata is sent back in its response's, with echo- before each name
    #[arg(long, env, default_value = "off", value_parser = on_or_off, action = ArgAction::Set)]
    pub echo_metadata: bool,

    /// How log lines look [default: human on a terminal, json otherwise]
    #[arg(long, env)]
    pub log_format: Option<LogFormat>,

    /// What is logged: a level, or target=level pairs such as info,vitalmesh=debug
    #[arg(long, env, default_value = "info,tokio_cron_scheduler=warn")]
    pub log_level: Targets,

    /// Where spans go
    #[command(flatten)]
    pub trace: TraceSettings,
}

/// What a service's program is told on its command line.
#[derive(Debug)]
pub(crate) struct Invocation<S> {
    pub(crate) config: S,
    pub(crate) command: Option<Verb>,
}

#[derive(Clone, Copy, Debug, Subcommand)]
pub(crate) enum Verb {
    /// Ask the running service for its gRPC health; exit 0 if it is serving
    Healthcheck,
}

/// Reads a service's configuration from a command line (its first word is the program's name)
/// and the environment.
///
/// # Errors
///
/// One line that names the setting and what it should be; `--help` and `--version` also come
/// back as errors, see [`clap::Error::use_stderr`].
pub fn parse<S: Service>(
    words: impl IntoIterator<Item = impl Into<OsString> + Clone>,
) -> Result<S, clap::Error> {
    S::from_arg_matches(&command::<S>().try_get_matches_from(words)?)
}

pub(crate) fn parse_invocation<S: Service>(
    words: impl IntoIterator<Item = impl Into<OsString> + Clone>,
) -> Result<Invocation<S>, clap::Error> {
    let command = Verb::augment_subcommands(command::<S>()).subcommand_required(false);
    let matches = command.try_get_matches_from(words)?;
    Ok(Invocation {
        config: S::from_arg_matches(&matches)?,
        command: match matches.subcommand_name() {
            Some(_) => Some(Verb::from_arg_matches(&matches)?),
            None => None,
        },
    })
}

fn command<S: Service>() -> Command {
    S::augment_args(Command::new(S::NAME))
        .version(crate::process::VERSION)
        .mut_arg("grpc_address", |arg| {
            arg.required(false).default_value(S::GRPC_ADDRESS)
        })
        .mut_arg("scrape_address", |arg| {
            arg.required(false).default_value(S::SCRAPE_ADDRESS)
        })
        // So that -1 is refused as a value of its setting, not as a flag.
        .mut_args(|arg| match arg.get_action().takes_values() {
            true => arg.allow_negative_numbers(true),
            false => arg,
        })
}

/// Says a command line's error in one line, whatever was in the value that is wrong.
pub fn one_line(error: &clap::Error) -> String {
    let text = error.render().to_string();
    let value_is_wrong = matches!(
        error.kind(),
        ErrorKind::InvalidValue | ErrorKind::ValueValidation
    );
    // The value may hold empty lines of its own; clap's advice comes after the last one.
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

/// A terminal's controls, and line ends, spelled out.
fn visible(c: char) -> impl Iterator<Item = char> {
    let (raw, spelled) = match c.is_control() {
        true => (None, Some(c.escape_default())),
        false => (Some(c), None),
    };
    raw.into_iter().chain(spelled.into_iter().flatten())
}

fn at_least_one(text: &str) -> Result<usize, String> {
    match text.parse() {
        Ok(0) => Err("expected at least 1".to_owned()),
        Ok(count) => Ok(count),
        Err(_) => Err("expected a whole number".to_owned()),
    }
}

fn on_or_off(text: &str) -> Result<bool, String> {
    match text {
        "on" => Ok(true),
        "off" => Ok(false),
        _ => Err("expected on or off".to_owned()),
    }
}

/// Reads a duration such as `500ms`, `10s` or `1h 30m`; for clap's `value_parser`.
///
/// # Errors
///
/// Where it is none, or negative.
pub fn duration(text: &str) -> Result<Duration, String> {
    text.parse::<jiff::SignedDuration>()
        .ok()
        .and_then(|duration| Duration::try_from(duration).ok())
        .ok_or_else(|| "expected a duration such as 500ms, 10s or 1h".to_owned())
}

/// Reads a service's URL; for clap's `value_parser`.
///
/// # Errors
///
/// Where it is not `http://host:port`.
pub fn service_url(text: &str) -> Result<Uri, String> {
    let expected = || "expected a URL such as http://127.0.0.1:50051".to_owned();
    let uri: Uri = text.parse().map_err(|_| expected())?;
    let plain = uri.scheme_str() == Some("http") && matches!(uri.path(), "" | "/");
    match uri.port() {
        Some(_) if plain => Ok(uri),
        _ => Err(expected()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_switch_is_on_or_off() {
        assert_eq!(on_or_off("on"), Ok(true));
        assert_eq!(on_or_off("off"), Ok(false));
        for wrong in ["", "true", "ON", "0"] {
            assert_eq!(on_or_off(wrong), Err("expected on or off".to_owned()));
        }
    }

    #[test]
    fn durations_and_urls_are_read_or_refused_with_an_example() {
        assert_eq!(duration("500ms"), Ok(Duration::from_millis(500)));
        assert_eq!(duration("1h 30m"), Ok(Duration::from_secs(5400)));
        for wrong in ["", "10", "-1s", "soon"] {
            assert!(duration(wrong).unwrap_err().contains("500ms"), "{wrong}");
        }
        assert!(service_url("http://edge:50053").is_ok());
        for wrong in [
            "",
            "edge:50053",
            "http://edge",
            "https://edge:1",
            "http://a:1/path",
        ] {
            assert!(
                service_url(wrong).unwrap_err().contains("http://127"),
                "{wrong}"
            );
        }
    }
}
