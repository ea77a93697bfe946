//! Reads scrapes, and waits for expected ones.

use grpc_prometheus::Exposition;
use std::time::{Duration, Instant};

pub(crate) fn page(exposition: &Exposition) -> String {
    exposition.encode(None).1
}

pub(crate) fn openmetrics(exposition: &Exposition) -> String {
    exposition.encode(Some("application/openmetrics-text")).1
}

/// Returns all non-zero samples, except sums and buckets of times, in a short form:
/// `grpc_server_handled_total{grpc_code="OK",grpc_method="Unary",…} 1` becomes `server handled OK
/// Unary 1`. The type is shown only if it is not the method's.
pub(crate) fn nonzero_samples(exposition: &Exposition) -> Vec<String> {
    let page = page(exposition);
    let samples = page.lines().filter(|line| !line.starts_with('#'));
    let timed = |line: &&str| line.contains("_seconds_bucket{") || line.contains("_seconds_sum{");
    let counted = samples.filter(|line| !timed(line) && !line.ends_with(" 0"));
    let mut short: Vec<_> = counted.map(shorten).collect();
    short.sort();
    short
}

fn shorten(line: &str) -> String {
    let (series, value) = line.rsplit_once(' ').unwrap();
    let (name, labels) = series.split_once('{').unwrap_or((series, "}"));
    let name = name.strip_prefix("grpc_").unwrap_or(name);
    let name = name.strip_suffix("_total").unwrap_or(name);
    let name = name.replace("_seconds_count", "");
    let mut words = vec![name.replacen('_', " ", 1)];
    let labels = labels.strip_suffix('}').unwrap();
    let labels: Vec<_> = labels
        .split(',')
        .filter_map(|l| l.split_once('='))
        .collect();
    let value_of = |name| {
        labels
            .iter()
            .find(|(n, _)| *n == name)
            .map(|(_, v)| v.trim_matches('"'))
    };
    let method = value_of("grpc_method");
    for (name, value) in &labels {
        let value = value.trim_matches('"');
        let known = match (*name, method) {
            ("grpc_service", Some(method)) if method != "unknown" => value == "t.v1.Echo",
            ("grpc_type", Some("Unary")) => value == "unary",
            ("grpc_type", Some("Server")) => value == "server_stream",
            ("grpc_type", Some("Client")) => value == "client_stream",
            ("grpc_type", Some("Bidi")) => value == "bidi_stream",
            _ => false,
        };
        if !known {
            words.push(value.to_owned());
        }
    }
    words.push(value.to_owned());
    words.join(" ")
}

/// Sorts the expected samples.
#[track_caller]
pub(crate) fn expected(lines: &[&str]) -> Vec<String> {
    let mut lines: Vec<_> = lines.iter().map(|line| (*line).to_owned()).collect();
    lines.sort();
    lines
}

/// The samples of one call: started, handled with `code`, and messages.
pub(crate) fn calls(side: &str, method: &str, code: &str, received: u64, sent: u64) -> Vec<String> {
    let mut lines = vec![
        format!("{side} started {method} 1"),
        format!("{side} handled {code} {method} 1"),
        format!("{side} handling {method} 1"),
    ];
    if received > 0 {
        lines.push(format!("{side} msg_received {method} {received}"));
    }
    if sent > 0 {
        lines.push(format!("{side} msg_sent {method} {sent}"));
    }
    lines
}

pub(crate) fn exactly(lines: &[Vec<String>]) -> Vec<String> {
    let mut lines = lines.concat();
    lines.sort();
    lines
}

/// Waits until the non-zero samples are these. Panics with the difference after a timeout.
#[track_caller]
pub(crate) fn wait_for(
    exposition: &Exposition,
    expected: Vec<String>,
) -> impl Future<Output = ()> + use<'_> {
    let place = std::panic::Location::caller();
    async move {
        if !eventually(|| nonzero_samples(exposition) == expected).await {
            let samples = nonzero_samples(exposition);
            panic!("at {place}:\n   scrape {samples:#?}\n expected {expected:#?}");
        }
    }
}

/// Polls the condition for at most ten seconds, while other tasks run.
pub(crate) async fn eventually(mut condition: impl FnMut() -> bool) -> bool {
    let start = Instant::now();
    while !condition() {
        if start.elapsed() > Duration::from_secs(10) {
            return false;
        }
        tokio::task::yield_now().await;
    }
    true
}
