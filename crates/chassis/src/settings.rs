//! The settings of every service. One field is flag, variable, default, type and help.

use std::net::SocketAddr;
use std::time::Duration;

use clap::{ArgAction, Args};
use grpc_prometheus::RpcConventions;
use tracing_subscriber::filter::Targets;
use vitalmesh_server::CorsOrigins;
use vitalmesh_telemetry::{LogFormat, TraceSettings};

use crate::log_level::log_level;

/// The settings that every service has.
#[derive(Args, Clone, Debug)]
pub struct Settings {
    /// The address of the gRPC port; an IP alone keeps the default port, :80 is port 80 of every
    /// interface
    #[arg(long, env)]
    pub grpc_address: SocketAddr,

    /// The address of the scrape port: /metrics, /livez and /readyz; an IP alone keeps the default
    /// port, :80 is port 80 of every interface
    #[arg(long, env)]
    pub scrape_address: SocketAddr,

    /// The id of this instance in heartbeats, spans and exported logs: 1 to 128 of a-z, A-Z, 0-9 and
    /// . _ : / @ -, another one for each instance of the service [default: HOST:PORT, the name of the
    /// host and the gRPC port]
    #[arg(long, env, value_parser = instance_id)]
    pub instance_id: Option<String>,

    /// Open connections per port; further ones wait
    #[arg(long, env, default_value_t = 10_000, value_parser = at_least_one)]
    pub max_connections: usize,

    /// Concurrent gRPC calls; further ones are refused with RESOURCE_EXHAUSTED
    #[arg(long, env, default_value_t = 1024, value_parser = at_least_one)]
    pub max_calls: usize,

    /// Concurrent requests on one HTTP/2 connection
    #[arg(long, env, default_value_t = 256, value_parser = clap::value_parser!(u32).range(1..))]
    pub max_streams: u32,

    /// The longest time of a unary call, whatever deadline its caller sets
    #[arg(long, env, default_value = "30s", value_parser = duration)]
    pub call_timeout: Duration,

    /// The longest time of a streaming call
    #[arg(long, env, default_value = "1h", value_parser = duration)]
    pub stream_timeout: Duration,

    /// On shutdown, how long new calls are accepted after health reports NOT_SERVING
    #[arg(long, env, default_value = "1s", value_parser = duration)]
    pub lame_duck: Duration,

    /// On shutdown, how long calls in progress may take to complete
    #[arg(long, env, default_value = "10s", value_parser = duration)]
    pub drain_timeout: Duration,

    /// Serve the contracts of older clients beside the current ones: on or off
    #[arg(long, env, default_value = "on", value_parser = on_or_off, action = ArgAction::Set)]
    pub legacy_names: bool,

    /// Echo the metadata of each gRPC request in its response, under echo-NAME: on or off
    #[arg(long, env, default_value = "off", value_parser = on_or_off, action = ArgAction::Set)]
    pub echo_metadata: bool,

    /// The origins whose pages may call the REST API, such as http://localhost:3000, separated by
    /// commas; * allows every origin [default: none]
    #[arg(long, env, default_value = "", hide_default_value = true)]
    pub cors_origins: CorsOrigins,

    /// The log format [default: human on a terminal, json otherwise]
    #[arg(long, env, ignore_case = true)]
    pub log_format: Option<LogFormat>,

    /// The log level: off, error, warn, info, debug or trace; or target=level pairs after it, such
    /// as info,vitalmesh=debug
    #[arg(long, env, default_value = "info,tokio_cron_scheduler=warn", value_parser = log_level)]
    pub log_level: Targets,

    /// Names of call durations: a list with rpc has OpenTelemetry's stable ones, with rpc/dup both
    /// these and grpc_*_handling_seconds [default: grpc_*_handling_seconds]
    #[arg(
        long = "semconv-opt-in",
        env = "OTEL_SEMCONV_STABILITY_OPT_IN",
        value_name = "OTEL_SEMCONV_STABILITY_OPT_IN",
        default_value = "",
        hide_default_value = true,
        value_parser = rpc_conventions
    )]
    pub rpc_conventions: RpcConventions,

    /// Native histograms of calls, for a Prometheus that asks for them: on or off
    #[arg(long, env, default_value = "off", value_parser = on_or_off, action = ArgAction::Set)]
    pub native_histograms: bool,

    /// Tracing
    #[command(flatten)]
    pub trace: TraceSettings,
}

fn instance_id(text: &str) -> Result<String, String> {
    let id = text.trim();
    let is_allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"._:/@-".contains(&byte);
    match (1..=128).contains(&id.len()) && id.bytes().all(is_allowed) {
        true => Ok(id.to_owned()),
        false => Err("expected 1 to 128 of a-z, A-Z, 0-9 and . _ : / @ -".to_owned()),
    }
}

/// Other conventions than those of RPCs may be in the list, such as `http/dup`.
fn rpc_conventions(list: &str) -> Result<RpcConventions, String> {
    let is_name = |item: &str| {
        let name = item.trim();
        let name = name.split_once('/').map_or(name, |(name, dup)| {
            if dup.eq_ignore_ascii_case("dup") {
                name
            } else {
                ""
            }
        });
        let fits = |byte: u8| byte.is_ascii_alphanumeric() || b"_-".contains(&byte);
        !name.is_empty() && name.bytes().all(fits)
    };
    match list.trim().is_empty() || list.split(',').all(is_name) {
        true => Ok(RpcConventions::opted_in(list)),
        false => Err("expected a list such as rpc or http,rpc/dup".to_owned()),
    }
}

fn at_least_one(text: &str) -> Result<usize, String> {
    match text.trim().parse() {
        Ok(0) => Err("expected at least 1".to_owned()),
        Ok(count) => Ok(count),
        Err(_) => Err("expected a whole number".to_owned()),
    }
}

fn on_or_off(text: &str) -> Result<bool, String> {
    match text.trim().to_ascii_lowercase().as_str() {
        "on" => Ok(true),
        "off" => Ok(false),
        _ => Err("expected on or off".to_owned()),
    }
}

/// Parses a duration such as `500ms`, `10s` or `1h 30m`; for clap's `value_parser`.
///
/// # Errors
///
/// If the text is no duration, or a negative one.
pub fn duration(text: &str) -> Result<Duration, String> {
    text.parse::<jiff::SignedDuration>()
        .ok()
        .and_then(|duration| Duration::try_from(duration).ok())
        .ok_or_else(|| "expected a duration such as 500ms, 10s or 1h".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_switch_is_on_or_off() {
        assert_eq!(on_or_off("on"), Ok(true));
        assert_eq!(on_or_off(" OFF "), Ok(false));
        for wrong in ["", "true", "o n", "0"] {
            assert_eq!(on_or_off(wrong), Err("expected on or off".to_owned()));
        }
    }

    #[test]
    fn an_instance_id_is_what_an_address_or_a_pod_is_named() {
        let longest = "a".repeat(128);
        for id in ["a", "web-7f9c_1.eu:50051/x@y", &longest] {
            assert_eq!(instance_id(id).as_deref(), Ok(id));
        }
        assert_eq!(instance_id(" pod-1\n").as_deref(), Ok("pod-1"));
        for wrong in ["", " ", "a b", "a,b", "é", "a\"b", &format!("{longest}a")] {
            assert!(
                instance_id(wrong).unwrap_err().contains("1 to 128"),
                "{wrong}"
            );
        }
    }

    #[test]
    fn the_opt_in_is_a_list_of_conventions_and_those_of_rpcs_count() {
        for (list, expected) in [
            ("", RpcConventions::Grpc),
            (" ", RpcConventions::Grpc),
            ("http/dup, database", RpcConventions::Grpc),
            ("rpc", RpcConventions::Stable),
            ("http, RPC", RpcConventions::Stable),
            ("rpc/dup", RpcConventions::Both),
            ("rpc,Rpc/Dup", RpcConventions::Both),
        ] {
            assert_eq!(rpc_conventions(list), Ok(expected), "{list}");
        }
        for wrong in [
            ",",
            "rpc,",
            "rpc;http",
            "rpc dup",
            "rpc/",
            "rpc/twice",
            "/dup",
        ] {
            let error = rpc_conventions(wrong).unwrap_err();
            assert!(error.contains("rpc/dup"), "{wrong}: {error}");
        }
    }

    #[test]
    fn an_invalid_duration_is_rejected_with_an_example() {
        assert_eq!(duration("500ms"), Ok(Duration::from_millis(500)));
        assert_eq!(duration("1h 30m"), Ok(Duration::from_secs(5400)));
        for wrong in ["", "10", "-1s", "soon"] {
            assert!(duration(wrong).unwrap_err().contains("500ms"), "{wrong}");
        }
    }
}
