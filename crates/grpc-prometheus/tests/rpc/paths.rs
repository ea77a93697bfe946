//! Look-up of paths, compared with a plain parser.

use std::collections::BTreeMap;

use grpc_prometheus::{Exposition, ServerMetrics};
use http::Request;
use proptest::prelude::*;
use tower::{Layer, ServiceExt, service_fn};

use crate::{
    echo::{Method, descriptor_set},
    expect::page,
};

const HEALTH: &str = "grpc.health.v1.Health";

/// Names of up to forty characters, prefixes of them, and unknown names.
fn segment() -> impl Strategy<Value = String> {
    let known = (1..=40_usize).prop_map(|length| "abcdefgh".repeat(5)[..length].to_owned());
    let service =
        (1..=40_usize).prop_map(|length| format!("p.{}", &"Sservice".repeat(5)[..length]));
    prop_oneof![
        8 => known,
        8 => service,
        1 => Just(HEALTH.to_owned()),
        1 => Just("Check".to_owned()),
        1 => Just(String::new()),
        1 => "[a-z.%]{1,12}",
    ]
}

fn path() -> impl Strategy<Value = String> {
    let segments = prop::collection::vec(segment(), 0..4);
    (segments, any::<bool>()).prop_map(|(segments, ends)| {
        let end = if ends || segments.is_empty() { "" } else { "/" };
        format!("/{}{}", segments.join("/"), end)
    })
}

/// The registered names: methods of even lengths in services of odd lengths.
fn is_known(service: &str, method: &str) -> bool {
    let even = !method.is_empty() && method.len().is_multiple_of(2);
    is_service(service) && even && "abcdefgh".repeat(5).starts_with(method)
}

fn is_service(service: &str) -> bool {
    let name = service.strip_prefix("p.");
    name.is_some_and(|name| name.len() % 2 == 1 && "Sservice".repeat(5).starts_with(name))
}

/// The labels of a call of this path; `None` if it is excluded.
fn read(path: &str) -> Option<(String, String)> {
    let unknown = || "unknown".to_owned();
    let segments: Vec<_> = path.split('/').collect();
    // The first segment is the text before the first slash.
    let [_, .., service, method] = segments[..] else {
        return Some((unknown(), unknown()));
    };
    match service {
        HEALTH => None,
        service if is_known(service, method) => Some((service.to_owned(), method.to_owned())),
        service if is_service(service) => Some((service.to_owned(), unknown())),
        _ => Some((unknown(), unknown())),
    }
}

fn metrics(exposition: &Exposition) -> ServerMetrics {
    let (methods, services) = ("abcdefgh".repeat(5), "Sservice".repeat(5));
    let methods = (2..=40).step_by(2).map(|length| &methods[..length]);
    let methods: Vec<Method<'_>> = methods.map(|name| (name, false, false)).collect();
    let services = (1..40).step_by(2).map(|length| &services[..length]);
    let services: Vec<_> = services.map(|name| (name, &methods[..])).collect();
    ServerMetrics::builder()
        .descriptor_set(&descriptor_set("p", &services))
        .exclude_health_and_reflection(true)
        .zero_init(grpc_prometheus::ZeroInit::None)
        .register(exposition)
        .unwrap()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(16))]

    #[test]
    fn a_path_counts_as_a_plain_parser_reads_it(
        paths in prop::collection::vec(path(), 0..500),
    ) {
        let exposition = Exposition::default();
        let layer = metrics(&exposition).layer();
        let mut expected: BTreeMap<_, u64> = BTreeMap::new();
        for path in &paths {
            let request = Request::post(path).header("content-type", "application/grpc");
            let request = request.body(String::new()).unwrap();
            let service = layer.layer(service_fn(|_| async { Err::<http::Response<String>, _>("no") }));
            let call = service.oneshot(request);
            futures_util::FutureExt::now_or_never(call).unwrap().unwrap_err();
            if let Some(labels) = read(path) {
                *expected.entry(labels).or_default() += 1;
            }
        }
        let page = page(&exposition);
        let started = page.lines().filter_map(|line| line.strip_prefix("grpc_server_started_total{"));
        let started: BTreeMap<_, u64> = started.map(|line| {
            let words: Vec<_> = line.split('"').collect();
            let count = line.rsplit_once(' ').unwrap().1;
            ((words[3].to_owned(), words[1].to_owned()), count.parse().unwrap())
        }).collect();
        prop_assert_eq!(started, expected);
    }
}
