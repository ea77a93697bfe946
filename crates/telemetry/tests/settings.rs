//! The tracing settings on a command line.

use clap::{CommandFactory, Parser};
use vitalmesh_telemetry::TraceSettings;

#[derive(Debug, Parser)]
struct CommandLine {
    #[command(flatten)]
    trace: TraceSettings,
}

fn parse(flags: &[&str]) -> Result<TraceSettings, String> {
    let arguments = ["shop"].iter().chain(flags);
    match CommandLine::try_parse_from(arguments) {
        Ok(line) => Ok(line.trace),
        Err(error) => Err(error.to_string()),
    }
}

#[test]
fn without_flags_nothing_is_exported_and_every_root_is_recorded() {
    for flags in [&[][..], &["--otlp-endpoint", ""]] {
        let settings = parse(flags).unwrap();
        assert_eq!(settings.collector(), None);
        assert_eq!(settings.trace_ratio, "1".parse().unwrap());
    }
}

#[test]
fn flags_set_the_collector_and_the_ratio() {
    let settings = parse(&[
        "--otlp-endpoint",
        "http://[::1]:4317",
        "--trace-ratio",
        "0.25",
    ]);
    let settings = settings.unwrap();
    let collector = settings.collector().unwrap();
    assert_eq!(
        (collector.host(), collector.port_u16()),
        (Some("[::1]"), Some(4317))
    );
    assert_eq!(settings.trace_ratio, "0.25".parse().unwrap());
    assert_ne!(settings.trace_ratio, "0.26".parse().unwrap());
}

#[test]
fn invalid_values_are_rejected_with_the_flag_and_an_example() {
    for (flag, value, example) in [
        ("--otlp-endpoint", "collector", "http://127.0.0.1:4317"),
        (
            "--otlp-endpoint",
            "https://collector:4317",
            "http://127.0.0.1:4317",
        ),
        (
            "--otlp-endpoint",
            "http://collector:4317/v1/logs",
            "http://127.0.0.1:4317",
        ),
        ("--trace-ratio", "-0.5", "0.1"),
        ("--trace-ratio", "1.01", "0.1"),
        ("--trace-ratio", "inf", "0.1"),
        ("--trace-ratio", "", "0.1"),
    ] {
        let error = parse(&[&format!("{flag}={value}")]).unwrap_err();
        assert!(error.contains(flag) && error.contains(example), "{error}");
    }
}

#[test]
fn the_variables_are_those_of_opentelemetry() {
    let command = CommandLine::command();
    let variable = |flag| {
        let argument = command
            .get_arguments()
            .find(|arg| arg.get_long() == Some(flag));
        argument.unwrap().get_env().unwrap().to_str().unwrap()
    };
    assert_eq!(variable("otlp-endpoint"), "OTEL_EXPORTER_OTLP_ENDPOINT");
    assert_eq!(variable("trace-ratio"), "OTEL_TRACES_SAMPLER_ARG");
}
