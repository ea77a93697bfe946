//! The cost of a layer per unary call and per message of a stream, on 1, 2, 8 and 16 threads that
//! call one method.
//!
//! A call is measured in processor time of its thread, so that other load disturbs it least. Turns
//! of a few hundred microseconds with and without the layer alternate, so that changes of the
//! processor's speed affect both. Each turn has its stack at another offset in a cache line, which
//! alone makes a difference of a quarter.

#![expect(clippy::unwrap_used, reason = "a bench fails as a test does")]

use std::{hint::black_box, ops::Range, sync::Barrier, thread, time::Duration};

use criterion::{BenchmarkGroup, Criterion, measurement::WallTime};
use grpc_prometheus::{ClientMetrics, Exposition, ServerMetrics};
use grpc_prometheus_bench::{NoOp, PATH, call, descriptor_set, prepare};
use http::{Request, Response, Uri};
use rustix::time::{ClockId, clock_gettime};
use tonic::body::Body;
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
    let exposition = Exposition::default();
    let set = descriptor_set(20);
    let server = ServerMetrics::builder().descriptor_set(&set);
    let client = ClientMetrics::builder().descriptor_set(&set);
    let client = client.register(&exposition).unwrap().layer();
    Layers {
        server: server.register(&exposition).unwrap().layer(),
        client: client.unboxed(),
        channel: client,
        peer: tonic_prometheus_layer::MetricsLayer::new(),
    }
}

fn unary(criterion: &mut Criterion) {
    let layers = layers();
    let no_op = NoOp { messages: 1 };
    for threads in THREADS {
        let group = criterion.benchmark_group(format!("unary, {threads} threads"));
        let mut bench = Bench::new(group, threads, 1_000, no_op);
        bench.alone("no layer");
        bench.added("server layer", &layers.server);
        bench.added("client layer, unboxed", &layers.client);
        bench.added("client layer for a Channel", &layers.channel);
        bench.added("tonic_prometheus_layer", &layers.peer);
        bench.group.finish();
    }
}

/// Calls of 1,000 messages each: divide by 1,000.
fn stream(criterion: &mut Criterion) {
    let layers = layers();
    let no_op = NoOp { messages: STREAM };
    for threads in THREADS {
        let group = criterion.benchmark_group(format!("1,000 messages, {threads} threads"));
        let mut bench = Bench::new(group, threads, 5, no_op);
        bench.alone("no layer");
        bench.added("server layer", &layers.server);
        bench.added("tonic_prometheus_layer", &layers.peer);
        bench.group.finish();
    }
}

struct Bench<'a> {
    group: BenchmarkGroup<'a, WallTime>,
    threads: usize,
    /// Calls per turn.
    calls: u64,
    no_op: NoOp,
}

impl<'a> Bench<'a> {
    const fn new(
        group: BenchmarkGroup<'a, WallTime>,
        threads: usize,
        calls: u64,
        no_op: NoOp,
    ) -> Self {
        Self {
            group,
            threads,
            calls,
            no_op,
        }
    }

    /// Measures a call without a layer.
    fn alone(&mut self, name: &str) {
        self.bench(name, |turns, no_op| {
            turns.map(|turn| turn.time(no_op)).sum()
        });
    }

    /// Measures the cost of the layer.
    fn added<L, B>(&mut self, name: &str, layer: &L)
    where
        L: Layer<NoOp> + Sync,
        L::Service: Service<Request<Body>, Response = Response<B>>,
        B: http_body::Body<Data = bytes::Bytes> + Unpin,
    {
        self.bench(name, |turns, no_op| {
            let mut layered = layer.layer(*no_op);
            let added = turns.map(|turn| turn.time(&mut layered) - turn.time(no_op));
            added.sum()
        });
    }

    /// `work` runs the turns of a thread and returns their duration in seconds.
    fn bench(&mut self, name: &str, work: impl Fn(Turns, &mut NoOp) -> f64 + Sync) {
        let (threads, of_a_turn, no_op) = (self.threads, self.calls, self.no_op);
        self.group.bench_function(name, |bencher| {
            bencher.iter_custom(|calls| {
                // Runs whole turns, and scales to the requested number of calls.
                let turns = calls.div_ceil(of_a_turn).next_multiple_of(PLACES);
                let barrier = Barrier::new(threads);
                let work = || {
                    prepare(Uri::from_static(PATH));
                    barrier.wait();
                    work(
                        Turns {
                            calls: of_a_turn,
                            numbers: 0..turns,
                        },
                        &mut no_op.clone(),
                    )
                };
                let seconds: f64 = thread::scope(|scope| {
                    let handles: Vec<_> = (0..threads).map(|_| scope.spawn(work)).collect();
                    let seconds = handles.into_iter().map(|handle| handle.join().unwrap());
                    seconds.sum()
                });
                let of_a_call = seconds / (turns * of_a_turn) as f64 / threads as f64;
                Duration::from_secs_f64((of_a_call * calls as f64).max(0.0))
            });
        });
    }
}

/// The turns of one thread.
struct Turns {
    calls: u64,
    numbers: Range<u64>,
}

struct Turn {
    calls: u64,
    number: u64,
}

/// Offsets of a stack in a cache line of 64 bytes, in steps of 16.
const PLACES: u64 = 4;

impl Iterator for Turns {
    type Item = Turn;

    fn next(&mut self) -> Option<Turn> {
        let calls = self.calls;
        self.numbers.next().map(|number| Turn { calls, number })
    }
}

impl Turn {
    /// Returns the processor time of its calls in seconds.
    fn time<S, B>(&self, service: &mut S) -> f64
    where
        S: Service<Request<Body>, Response = Response<B>>,
        B: http_body::Body<Data = bytes::Bytes> + Unpin,
    {
        match self.number % PLACES {
            0 => self.time_below::<_, _, 16>(service),
            1 => self.time_below::<_, _, 32>(service),
            2 => self.time_below::<_, _, 48>(service),
            _ => self.time_below::<_, _, 64>(service),
        }
    }

    #[inline(never)]
    fn time_below<S, B, const BYTES: usize>(&self, service: &mut S) -> f64
    where
        S: Service<Request<Body>, Response = Response<B>>,
        B: http_body::Body<Data = bytes::Bytes> + Unpin,
    {
        black_box([0_u8; BYTES]);
        let start = processor_time();
        for _ in 0..self.calls {
            call(black_box(&mut *service));
        }
        processor_time() - start
    }
}

fn processor_time() -> f64 {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    time.tv_sec as f64 + time.tv_nsec as f64 / 1e9
}
