//! Every setting of every service works, or is named in the error.
#![expect(clippy::unwrap_used, reason = "tests fail by panicking")]

use std::any::TypeId;
use std::fmt::Debug;
use std::path::PathBuf;

use clap::{Arg, Command};
use rustix::process::Signal;
use vitalmesh_chassis::{Schedule, Service, one_line, parse};
use vitalmesh_tests::{Program, run};

/// Values of settings whose default is empty.
const SAMPLES: [(&str, &str); 5] = [
    ("cors-origins", "https://a.example"),
    ("instance-id", "192.0.2.1:50051"),
    ("log-format", "json"),
    ("otlp-endpoint", "http://127.0.0.1:4317"),
    ("semconv-opt-in", "rpc/dup"),
];

fn arguments<S: Service>() -> Vec<Arg> {
    let command = S::augment_args(Command::new(S::NAME));
    let arguments = command.get_arguments().cloned();
    arguments.filter(|arg| arg.get_long().is_some()).collect()
}

/// A valid value.
fn sample<S: Service>(arg: &Arg) -> String {
    let long = arg.get_long().unwrap();
    match long {
        "grpc-address" => return S::GRPC_ADDRESS.to_owned(),
        "scrape-address" => return S::SCRAPE_ADDRESS.to_owned(),
        _ => {}
    }
    let default = arg.get_default_values().first();
    let default = default.map(|value| value.to_str().unwrap().to_owned());
    let sample = SAMPLES.iter().find(|(setting, _)| *setting == long);
    let sample = sample.map(|(_, sample)| (*sample).to_owned());
    sample
        .or(default)
        .unwrap_or_else(|| panic!("no sample for --{long}"))
}

fn has_type<T: 'static>(arg: &Arg) -> bool {
    arg.get_value_parser().type_id() == TypeId::of::<T>()
}

/// The settings without the fields of schedules, which are thousands of numbers.
fn visible(settings: &impl Debug) -> String {
    let text = format!("{settings:?}");
    let mut parts = text.split("bitfields: [");
    let first = parts.next().unwrap_or_default().to_owned();
    parts.fold(first, |text, part| text + part.split_once(']').unwrap().1)
}

/// The settings with one flag; or the error, which must be one line with the flag, the value and
/// what to do.
fn parsed<S: Service + Debug>(long: &str, value: &str) -> Option<String> {
    match parse::<S>([S::NAME.to_owned(), format!("--{long}={value}")]) {
        Ok(settings) => Some(visible(&settings)),
        Err(error) => {
            let line = one_line(&error);
            let what = format!("{} --{long}={value:?}: {line}", S::NAME);
            assert!(line.contains(&format!("--{long}")), "{what}");
            assert!(!line.contains('\n'), "{what}");
            assert!(line.contains(value.trim()), "{what}");
            let says_what_to_do = ["expected", "not in", "required"];
            assert!(
                says_what_to_do.iter().any(|text| line.contains(text)),
                "{what}"
            );
            None
        }
    }
}

fn check<S: Service + Debug>() {
    for arg in arguments::<S>() {
        let long = arg.get_long().unwrap();
        // Errors say that the variable is the one in <>.
        let named: Vec<_> = arg.get_value_names().into_iter().flatten().collect();
        assert_eq!(
            named,
            [arg.get_env().unwrap().to_str().unwrap()],
            "--{long}"
        );
        let sample = sample::<S>(&arg);
        let expected = parsed::<S>(long, &sample);
        assert!(expected.is_some(), "{} --{long}={sample}", S::NAME);
        let mut same = vec![
            format!(" {sample}"),
            format!("{sample} "),
            format!("\t{sample}\n"),
        ];
        let mut wrong = vec![format!("{sample},,"), "no such word".to_owned()];
        if has_type::<PathBuf>(&arg) {
            wrong.clear();
        } else {
            same.extend([sample.to_uppercase(), sample.to_lowercase()]);
        }
        for value in same {
            // A schedule keeps its spelling.
            let settings = parsed::<S>(long, &value).filter(|_| !has_type::<Schedule>(&arg));
            if let Some(settings) = settings {
                let what = format!("{} --{long}={value:?}", S::NAME);
                assert_eq!(Some(settings), expected, "{what}");
            }
        }
        for value in wrong {
            let settings = parsed::<S>(long, &value);
            assert_eq!(settings, None, "{} --{long}={value:?}", S::NAME);
        }
        // Nothing means the default, or is refused.
        let default = parse::<S>([S::NAME]).unwrap();
        for value in ["", " "] {
            if let Some(settings) = parsed::<S>(long, value) {
                assert_eq!(settings, visible(&default), "{} --{long}", S::NAME);
            }
        }
    }
}

#[test]
fn a_padded_or_differently_cased_value_means_the_same_or_is_refused_with_its_flag() {
    check::<vitalmesh_bookstore::Config>();
    check::<vitalmesh_counter::Config>();
    check::<vitalmesh_edge::Config>();
    check::<vitalmesh_revert_name::Config>();
    check::<vitalmesh_time::Config>();
}

#[tokio::test]
async fn a_wrong_value_of_a_variable_ends_the_program_with_the_flag_and_code_2() {
    for arg in arguments::<vitalmesh_edge::Config>() {
        if has_type::<PathBuf>(&arg) {
            continue;
        }
        let variable = arg.get_env().unwrap().to_str().unwrap();
        let output = run("edge", &["healthcheck"], &[(variable, "no such word")]).await;
        let said = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(2), "{variable}: {said}");
        let flag = format!("--{}", arg.get_long().unwrap());
        assert!(said.contains(&flag), "{variable}: {said}");
        assert_eq!(said.lines().count(), 1, "{variable}: {said}");
    }
}

#[tokio::test]
async fn a_padded_level_in_capitals_logs_what_it_names() {
    let time = Program::service("time", &["--log-level", " INFO "]);
    time.logged("serving").await;
    time.signal(Signal::TERM);
    let (status, lines) = time.ended().await;
    assert!(status.success(), "{lines:?}");
    assert!(
        lines.iter().any(|line| line.contains("stopped")),
        "{lines:?}"
    );
}
