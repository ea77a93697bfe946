//! A scrape of 1,000 methods on both sides.

#![expect(clippy::unwrap_used, reason = "a bench fails as a test does")]

use criterion::Criterion;
use grpc_prometheus::{ClientMetrics, Exposition, ServerMetrics};
use grpc_prometheus_bench::{NoOp, call, descriptor_set, prepare};
use prometheus::TextEncoder;
use tower::Layer;

const METHODS: usize = 1_000;

fn main() {
    let mut criterion = Criterion::default().configure_from_args();
    let exposition = Exposition::default();
    let set = descriptor_set(METHODS);
    let server = ServerMetrics::builder().descriptor_set(&set);
    let server = server.register(&exposition).unwrap();
    let client = ClientMetrics::builder().descriptor_set(&set);
    let client = client.register(&exposition).unwrap();
    for method in 0..METHODS {
        let path = format!("/bench.v1.Service{}/Method{}", method / 10, method % 10);
        prepare(path.parse().unwrap());
        for _ in 0..1_000 {
            call(&mut server.layer().layer(NoOp { messages: 1 }));
            call(&mut client.layer().unboxed().layer(NoOp { messages: 1 }));
        }
    }
    let mut group = criterion.benchmark_group("scrape, 1,000 methods on both sides");
    group.bench_function("text", |bencher| {
        bencher.iter(|| exposition.encode(None));
    });
    group.bench_function("OpenMetrics", |bencher| {
        let accept = Some("application/openmetrics-text");
        bencher.iter(|| exposition.encode(accept));
    });
    group.bench_function("text by Registry::gather and TextEncoder", |bencher| {
        bencher.iter(|| TextEncoder::new().encode_to_string(&exposition.registry().gather()));
    });
    group.finish();
    criterion.final_summary();
}
