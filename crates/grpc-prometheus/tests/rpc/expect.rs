//! What a scrape says, and waiting for it.

use grpc_prometheus::Exposition;
use std::time::{Duration, Instant};

pub(crate) fn page(exposition: &Exposition) -> String {
    exposition.encode(None).1
}

pub(crate) fn openmetrics(exposition: &Exposition) -> String {
    exposition.encode(Some("application/openmetrics-text")).1
}

/// Every sample of the exposition that is not zero, without the sums and buckets of times, each
/// shortened: `grpc_server_handled_total{grpc_code="OK",grpc_method="Unary",…} 1` becomes
/// `server handled OK Unary 1`. A type that is not the method's is shown.
pub(crate) fn moved(exposition: &Exposition) -> Vec<String> {
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

/// Waits until the scrape has moved to exactly this; lines are sorted here.
#[track_caller]
pub(crate) fn expected(lines: &[&str]) -> Vec<String> {
    let mut lines: Vec<_> = lines.iter().map(|line| (*line).to_owned()).collect();
    lines.sort();
    lines
}

/// The calls of one method on one side: started, handled with `code`, and messages.
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

pub(crate) fn only(lines: &[Vec<String>]) -> Vec<String> {
    let mut lines = lines.concat();
    lines.sort();
    lines
}

/// Waits for the scrape to be this, and fails with the difference if it never is.
#[track_caller]
pub(crate) fn settled(
    exposition: &Exposition,
    expected: Vec<String>,
) -> impl Future<Output = ()> + use<'_> {
    let place = std::panic::Location::caller();
    async move {
        if !eventually(|| moved(exposition) == expected).await {
            let moved = moved(exposition);
            panic!("at {place}:\n   scrape {moved:#?}\n expected {expected:#?}");
        }
    }
}

/// Whether the condition comes true within ten seconds while the other tasks run.
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
