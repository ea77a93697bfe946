//! Invariants of every scrape, during any calls.

#![expect(clippy::unwrap_used, reason = "helpers of tests fail as tests do")]

use std::{
    collections::HashMap,
    convert::Infallible,
    sync::atomic::{AtomicBool, Ordering},
    thread,
};

use bytes::Bytes;
use futures_util::FutureExt;
use grpc_prometheus::{Buckets, Exposition, RequestBody, ServerMetrics};
use http::{HeaderMap, Request, Response};
use http_body::Frame;
use http_body_util::{BodyExt, StreamBody};
use proptest::prelude::*;
use prost::Message;
use prost_types::{
    FileDescriptorProto, FileDescriptorSet, MethodDescriptorProto, ServiceDescriptorProto,
};
use tower::{Layer, Service, service_fn};

/// Each has at most one open call.
const THREADS: usize = 8;

/// One step of a service's history.
#[derive(Clone, Copy, Debug)]
enum Step {
    /// A call that sends this many messages and ends with this code.
    Answer(u8, u8),
    /// A call whose body is dropped after this many messages.
    Leave(u8),
    /// A call whose future is dropped before its first poll.
    Drop,
    /// A call that fails without a response.
    Fail,
    /// A call of an unknown method.
    Unknown,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        4 => (0..4_u8, 0..20_u8).prop_map(|(messages, code)| Step::Answer(messages, code)),
        1 => (0..3_u8).prop_map(Step::Leave),
        1 => Just(Step::Drop),
        1 => Just(Step::Fail),
        1 => Just(Step::Unknown),
    ]
}

fn descriptor_set() -> Vec<u8> {
    let method = MethodDescriptorProto {
        name: Some("Do".into()),
        server_streaming: Some(true),
        ..Default::default()
    };
    let service = ServiceDescriptorProto {
        name: Some("S".into()),
        method: vec![method],
        ..Default::default()
    };
    let file = FileDescriptorProto {
        package: Some("p".into()),
        service: vec![service],
        ..Default::default()
    };
    FileDescriptorSet { file: vec![file] }.encode_to_vec()
}

fn metrics(exposition: &Exposition) -> ServerMetrics {
    ServerMetrics::builder()
        .descriptor_set(&descriptor_set())
        .message_sizes(Buckets::A66Bytes)
        .register(exposition)
        .unwrap()
}

fn run(metrics: &ServerMetrics, step: Step) {
    let service = service_fn(move |_: Request<RequestBody<String>>| async move {
        let (messages, code) = match step {
            Step::Answer(messages, code) => (messages, code),
            Step::Leave(messages) => (messages + 1, 0),
            Step::Fail => return Err(std::io::Error::other("gone")),
            Step::Drop | Step::Unknown => (0, 0),
        };
        let data = Frame::data(Bytes::from_static(&[0, 0, 0, 0, 1, 7]));
        let mut trailers = HeaderMap::new();
        trailers.insert("grpc-status", code.to_string().parse().unwrap());
        let frames = (0..messages).map(move |_| Frame::data(data.data_ref().unwrap().clone()));
        let frames = frames
            .chain([Frame::trailers(trailers)])
            .map(Ok::<_, Infallible>);
        Ok(Response::new(StreamBody::new(tokio_stream::iter(frames))))
    });
    let path = match step {
        Step::Unknown => "/p.S/Undo",
        _ => "/p.S/Do",
    };
    let request = Request::post(path)
        .header("content-type", "application/grpc")
        .body(String::new())
        .unwrap();
    let mut service = metrics.layer().layer(service);
    let future = service.call(request);
    if let Step::Drop = step {
        return;
    }
    let Ok(response) = future.now_or_never().unwrap() else {
        return;
    };
    let mut body = response.into_body();
    let frames = match step {
        Step::Leave(messages) => messages,
        _ => u8::MAX,
    };
    for _ in 0..frames {
        if body.frame().now_or_never().unwrap().is_none() {
            break;
        }
    }
}

/// All samples of a scrape.
fn samples(exposition: &Exposition) -> HashMap<String, f64> {
    let (_, page) = exposition.encode(None);
    let lines = page.lines().filter(|line| !line.starts_with('#'));
    let split = lines.map(|line| line.rsplit_once(' ').unwrap());
    split
        .map(|(series, value)| (series.to_owned(), value.parse().unwrap()))
        .collect()
}

fn sum(samples: &HashMap<String, f64>, name: &str, with: &str) -> f64 {
    let of = |series: &&String| series.starts_with(name) && series.contains(with);
    samples
        .keys()
        .filter(of)
        .map(|series| samples[series])
        .sum()
}

/// Checks the invariants of a scrape, and those between it and the one before.
fn check(before: &HashMap<String, f64>, now: &HashMap<String, f64>) {
    for method in ["\"Do\"", "\"unknown\""] {
        let started = sum(now, "grpc_server_started_total{", method);
        let handled = sum(now, "grpc_server_handled_total{", method);
        let in_flight = sum(now, "grpc_server_in_flight{", method);
        let count = sum(now, "grpc_server_handling_seconds_count{", method);
        assert!(started >= handled, "{started} started, {handled} handled");
        assert_eq!(in_flight, started - handled);
        assert!(in_flight <= THREADS as f64, "{in_flight} in flight");
        assert!(count >= handled, "{count} timed, {handled} handled");
    }
    for (series, count) in now.iter().filter(|(series, _)| series.contains("_count{")) {
        let infinite = series.replace("_count{", "_bucket{");
        let infinite = format!("{},le=\"+Inf\"}}", infinite.strip_suffix('}').unwrap());
        assert_eq!(now.get(&infinite), Some(count), "{infinite}");
    }
    let counters = before
        .iter()
        .filter(|(series, _)| !series.contains("in_flight"));
    for (series, value) in counters {
        assert!(
            now[series] >= *value,
            "{series} went from {value} to {}",
            now[series]
        );
    }
}

fn expected(steps: &[Step]) -> HashMap<&'static str, u64> {
    let mut counts = HashMap::new();
    let mut add = |name, value: u64| *counts.entry(name).or_default() += value;
    for step in steps {
        add("started", 1);
        match step {
            Step::Answer(messages, code) => {
                add("sent", u64::from(*messages));
                add(if *code == 0 { "ok" } else { "failed" }, 1);
            }
            Step::Leave(messages) => {
                add("sent", u64::from(*messages));
                add("failed", 1);
            }
            Step::Drop | Step::Fail => add("failed", 1),
            Step::Unknown => add("ok", 1),
        }
    }
    counts
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn any_history_keeps_the_invariants_while_eight_threads_hammer(
        histories in prop::collection::vec(prop::collection::vec(step(), 0..200), THREADS),
    ) {
        let exposition = Exposition::default();
        let metrics = metrics(&exposition);
        let done = AtomicBool::new(false);
        thread::scope(|scope| {
            let scraper = scope.spawn(|| {
                let mut before = HashMap::new();
                while !done.load(Ordering::Relaxed) {
                    let now = samples(&exposition);
                    check(&before, &now);
                    before = now;
                }
            });
            let threads: Vec<_> = histories
                .iter()
                .map(|history| scope.spawn(|| history.iter().for_each(|step| run(&metrics, *step))))
                .collect();
            threads.into_iter().for_each(|thread| thread.join().unwrap());
            done.store(true, Ordering::Relaxed);
            scraper.join().unwrap();
        });
        let counts = expected(&histories.concat());
        let count = |name| counts.get(name).copied().unwrap_or(0);
        let snapshot = metrics.snapshot();
        prop_assert_eq!(snapshot.started, count("started"));
        prop_assert_eq!(snapshot.sent, count("sent"));
        prop_assert_eq!(snapshot.handled[0], count("ok"));
        prop_assert_eq!(snapshot.handled[1..].iter().sum::<u64>(), count("failed"));
        let timed: u64 = snapshot.buckets.iter().map(|(_, count)| count).sum();
        prop_assert_eq!(timed, count("started"));
        let now = samples(&exposition);
        check(&HashMap::new(), &now);
        let sizes = sum(&now, "grpc_server_msg_size_sent_bytes_count{", "");
        prop_assert_eq!(sizes, count("sent") as f64);
        let bytes = sum(&now, "grpc_server_msg_size_sent_bytes_sum{", "");
        prop_assert_eq!(bytes, count("sent") as f64);
    }
}
