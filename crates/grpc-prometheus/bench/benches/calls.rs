//! What a layer adds to a unary call and to a message of a stream, on 1, 2, 8 and 16 threads that
//! all call one method.
//!
//! The time of a call is the processor time of its thread, so that whatever else runs on the
//! machine disturbs it least.

#![expect(clippy::unwrap_used, reason = "a bench fails as a test does")]

use std::{hint::black_box, sync::Barrier, thread, time::Duration};

use criterion::{BenchmarkGroup, Criterion, measurement::WallTime};
use grpc_prometheus::{ClientMetrics, ServerMetrics};
use grpc_prometheus_bench::{Messages, NoOp, PATH, call, descriptor_set, prepare};
use http::{Request, Response, Uri};
use prometheus::Registry;
use rustix::time::{ClockId, clock_gettime};
use tower::{Layer, Service};

const THREADS: [usize; 4] = [1, 2, 8, 16];
const STREAM: u32 = 1_000;

fn main() {
    let mut criterion = Criterion::default()
        .warm_up_time(Duration::from_millis(500))
        .measurement_time(Duration::from_secs(1))
        .sample_size(30)
        .configure_from_args();
    unary(&mut criterion);
    stream(&mut criterion);
    criterion.final_summary();
}

struct Layers {
    server: grpc_prometheus::ServerLayer,
    client: grpc_prometheus::UnboxedClientLayer,
    channel: grpc_prometheus::ClientLayer,
    peer: tonic_prometheus_layer::MetricsLayer,
}

fn layers() -> Layers {
    let registry = Registry::new();
    let set = descriptor_set(20);
    let server = ServerMetrics::builder().descriptor_set(&set);
    let client = ClientMetrics::builder().descriptor_set(&set);
    let client = client.register(&registry).unwrap().layer();
    Layers {
        server: server.register(&registry).unwrap().layer(),
        client: client.unboxed(),
        channel: client,
        peer: tonic_prometheus_layer::MetricsLayer::new(),
    }
}

fn unary(criterion: &mut Criterion) {
    let layers = layers();
    let no_op = NoOp { messages: 1 };
    for threads in THREADS {
        let mut group = criterion.benchmark_group(format!("unary, {threads} threads"));
        bench(&mut group, "no layer", threads, &no_op);
        bench(
            &mut group,
            "server layer",
            threads,
            &layers.server.layer(no_op),
        );
        bench(
            &mut group,
            "client layer, unboxed",
            threads,
            &layers.client.layer(no_op),
        );
        bench(
            &mut group,
            "client layer for a Channel",
            threads,
            &layers.channel.layer(no_op),
        );
        bench(
            &mut group,
            "tonic_prometheus_layer",
            threads,
            &layers.peer.layer(no_op),
        );
        group.finish();
    }
}

/// A call of 1,000 messages: divide by 1,000.
fn stream(criterion: &mut Criterion) {
    let layers = layers();
    let no_op = NoOp { messages: STREAM };
    for threads in THREADS {
        let mut group = criterion.benchmark_group(format!("1,000 messages, {threads} threads"));
        bench(&mut group, "no layer", threads, &no_op);
        bench(
            &mut group,
            "server layer",
            threads,
            &layers.server.layer(no_op),
        );
        bench(
            &mut group,
            "tonic_prometheus_layer",
            threads,
            &layers.peer.layer(no_op),
        );
        group.finish();
    }
}

fn bench<S, B>(group: &mut BenchmarkGroup<'_, WallTime>, name: &str, threads: usize, service: &S)
where
    S: Service<Request<Messages>, Response = Response<B>> + Clone + Send + Sync,
    B: http_body::Body<Data = bytes::Bytes> + Unpin,
{
    group.bench_function(name, |bencher| {
        bencher.iter_custom(|calls| run(threads, calls, service) / threads as u32);
    });
}

/// The processor time of all threads together.
fn run<S, B>(threads: usize, calls: u64, service: &S) -> Duration
where
    S: Service<Request<Messages>, Response = Response<B>> + Clone + Send + Sync,
    B: http_body::Body<Data = bytes::Bytes> + Unpin,
{
    let barrier = Barrier::new(threads);
    thread::scope(|scope| {
        let work = || {
            let mut service = service.clone();
            prepare(Uri::from_static(PATH));
            barrier.wait();
            let start = processor_time();
            for _ in 0..calls {
                call(black_box(&mut service));
            }
            processor_time() - start
        };
        let handles: Vec<_> = (0..threads).map(|_| scope.spawn(work)).collect();
        handles
            .into_iter()
            .map(|handle| handle.join().unwrap())
            .sum()
    })
}

fn processor_time() -> Duration {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    Duration::new(time.tv_sec as u64, time.tv_nsec as u32)
}
