//! A tonic server over 127.0.0.1 with and without the layer: calls per second, and processor time
//! of the server per call.
//!
//! `loopback [rounds] [milliseconds per slice] [callers]`. The default is 150 rounds with slices of
//! 40 ms, about 100 s, and 64 callers on one connection. With fewer callers, fewer calls share a
//! system call, so each costs more. Each round has three new servers: without the layer, with it,
//! and another without it as a control. They take turns with four slices each, and a round gives
//! one ratio of each kind. The server and the client are a thread each, on separate processors if
//! there are two. The throughput is that of the slower one; the processor time is that of the
//! server's thread, including the kernel.
#![expect(clippy::disallowed_types, reason = "measures real time")]

use std::{
    future::poll_fn,
    net::SocketAddr,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use futures_util::future::try_join_all;
use grpc_prometheus::{Exposition, ServerMetrics};
use grpc_prometheus_bench::{
    Messages, PATH, answer::Answer, descriptor_set, processors, ratios::Ratios,
};
use http::Request;
use http_body::Body as _;
use rustix::time::{ClockId, clock_gettime};
use tokio::{
    net::TcpListener,
    runtime::{self, Runtime},
    sync::{mpsc, oneshot},
};
use tokio_stream::wrappers::TcpListenerStream;
use tonic::{
    body::Body,
    service::Routes,
    transport::{Channel, Endpoint, Server},
};
use tower::{BoxError, Service, ServiceExt};

const SLICES: usize = 4;
/// Whether the server has the layer.
const METERED: usize = 1;
const NAMES: [&str; 2] = ["with / without the layer", "without / without, for control"];

type Question = oneshot::Sender<Duration>;

type Result<T> = std::result::Result<T, BoxError>;

struct Client {
    runtime: Runtime,
    slice: Slice,
    /// The servers' processor.
    server: usize,
}

/// A server on its own thread, and a connection to it.
struct Served {
    channel: Channel,
    /// Requests the thread's processor time. The thread exits when this is dropped.
    clock: mpsc::Sender<Question>,
}

#[derive(Clone, Copy)]
struct Slice {
    length: Duration,
    callers: u64,
}

/// The sum of some slices of one server.
#[derive(Clone, Copy, Default)]
struct Spent {
    calls: f64,
    time: Duration,
    processor: Duration,
}

fn main() -> Result<()> {
    let mut arguments = std::env::args().skip(1);
    let rounds = number(arguments.next(), 150)?;
    let slice = Slice {
        length: Duration::from_millis(number(arguments.next(), 40)?),
        callers: number(arguments.next(), 64)?,
    };
    let [own, server] = processors::first_two()?;
    processors::pin(own)?;
    let client = Client {
        runtime: single_thread()?,
        slice,
        server,
    };
    let mut throughput = [(); 2].map(|()| Ratios::default());
    let mut processor = [(); 2].map(|()| Ratios::default());
    let mut all = [Spent::default(); 3];
    for turn in 0..rounds {
        let [without, with, control] = client.round(turn)?;
        for (index, other) in [with, control].into_iter().enumerate() {
            throughput[index].push(other.throughput() / without.throughput());
            processor[index].push(other.per_call() / without.per_call());
        }
        for (sum, spent) in all.iter_mut().zip([without, with, control]) {
            sum.add(spent);
        }
    }
    for (kind, ratios) in [("throughput", throughput), ("processor time", processor)] {
        for (name, ratios) in NAMES.iter().zip(ratios) {
            if let Some(median) = ratios.median() {
                println!("{kind}, {name}: {median}");
            }
        }
    }
    let [without, with, control] = all.map(|spent| spent.per_call() * 1e6);
    println!("per call: {without:.2} µs without, {with:.2} µs with, {control:.2} µs for control");
    Ok(())
}

fn single_thread() -> std::io::Result<Runtime> {
    let mut builder = runtime::Builder::new_current_thread();
    builder.enable_all().build()
}

fn number(argument: Option<String>, default: u64) -> Result<u64> {
    let Some(argument) = argument else {
        return Ok(default);
    };
    let number = argument.parse();
    number.map_err(|_| format!("{argument:?} is not a whole number").into())
}

async fn serve(listener: TcpListener, metered: bool) -> Result<()> {
    let incoming = TcpListenerStream::new(listener);
    let routes = Routes::new(Answer);
    if metered {
        let metrics = ServerMetrics::builder().descriptor_set(&descriptor_set(20));
        let metrics = metrics.register(&Exposition::default())?;
        let server = Server::builder().layer(metrics.layer()).add_routes(routes);
        Ok(server.serve_with_incoming(incoming).await?)
    } else {
        let server = Server::builder().add_routes(routes);
        Ok(server.serve_with_incoming(incoming).await?)
    }
}

/// The server's thread: serves until the requests for its processor time end.
fn run_server(
    metered: bool,
    processor: usize,
    address: oneshot::Sender<SocketAddr>,
    mut asked: mpsc::Receiver<Question>,
) -> Result<()> {
    processors::pin(processor)?;
    single_thread()?.block_on(async {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        _ = address.send(listener.local_addr()?);
        let serving = tokio::spawn(serve(listener, metered));
        while let Some(answer) = asked.recv().await {
            let time = clock_gettime(ClockId::ThreadCPUTime);
            _ = answer.send(Duration::new(time.tv_sec as u64, time.tv_nsec as u32));
        }
        serving.abort();
        Ok(())
    })
}

/// Makes calls until it is stopped, and returns their number.
async fn call_until(mut channel: Channel, stop: Arc<AtomicBool>) -> Result<u32> {
    let mut done = 0;
    while !stop.load(Ordering::Relaxed) {
        call(&mut channel).await?;
        done += 1;
    }
    Ok(done)
}

/// Makes one call, which must succeed.
async fn call(channel: &mut Channel) -> Result<()> {
    let body = Messages {
        count: 1,
        trailers: None,
    };
    let request = Request::post(PATH)
        .header("content-type", "application/grpc")
        .body(Body::new(body))?;
    let response = channel.ready().await?.call(request).await?;
    let mut body = response.into_body();
    let mut trailers = None;
    while let Some(frame) = poll_fn(|cx| Pin::new(&mut body).poll_frame(cx)).await {
        trailers = frame?.into_trailers().ok();
    }
    match trailers.unwrap_or_default().get("grpc-status") {
        Some(status) if status == "0" => Ok(()),
        other => Err(format!("grpc-status is {other:?} and not 0").into()),
    }
}

// === impl Client ===

impl Client {
    /// Creates three servers: without, with, and without the layer.
    fn round(&self, turn: u64) -> Result<[Spent; 3]> {
        // The first server has an advantage or disadvantage, so the order rotates.
        let order = [0, 1, 2].map(|place| (place + turn as usize) % 3);
        let mut servers = [None, None, None];
        for server in order {
            servers[server] = Some(self.connect(server == METERED)?);
        }
        let mut spent = [Spent::default(); 3];
        for index in 0..=SLICES {
            let mut order = order;
            if index % 2 == 1 {
                order.reverse();
            }
            for server in order {
                let Some(served) = &servers[server] else {
                    continue;
                };
                let slice = self.runtime.block_on(served.run(self.slice))?;
                // The first slice is a warm-up.
                if index > 0 {
                    spent[server].add(slice);
                }
            }
        }
        Ok(spent)
    }

    fn connect(&self, metered: bool) -> Result<Served> {
        let (address, bound) = oneshot::channel();
        let (clock, asked) = mpsc::channel(1);
        let processor = self.server;
        thread::spawn(move || {
            if let Err(error) = run_server(metered, processor, address, asked) {
                eprintln!("server: {error}");
            }
        });
        self.runtime.block_on(async {
            let endpoint = Endpoint::from_shared(format!("http://{}", bound.await?))?;
            let channel = endpoint.connect().await?;
            Ok(Served { channel, clock })
        })
    }
}

// === impl Served ===

impl Served {
    /// Runs a slice with many concurrent callers.
    async fn run(&self, slice: Slice) -> Result<Spent> {
        let stop = Arc::new(AtomicBool::new(false));
        let before = self.processor().await?;
        let start = Instant::now();
        let caller = |_| tokio::spawn(call_until(self.channel.clone(), Arc::clone(&stop)));
        let callers: Vec<_> = (0..slice.callers).map(caller).collect();
        tokio::time::sleep(slice.length).await;
        stop.store(true, Ordering::Relaxed);
        let done = try_join_all(callers).await?;
        let done = done.into_iter().sum::<Result<u32>>()?;
        Ok(Spent {
            calls: f64::from(done),
            time: start.elapsed(),
            processor: self.processor().await?.saturating_sub(before),
        })
    }

    /// The processor time of its thread.
    async fn processor(&self) -> Result<Duration> {
        let (answer, answered) = oneshot::channel();
        self.clock.send(answer).await?;
        Ok(answered.await?)
    }
}

// === impl Spent ===

impl Spent {
    fn add(&mut self, other: Self) {
        self.calls += other.calls;
        self.time += other.time;
        self.processor += other.processor;
    }

    fn throughput(&self) -> f64 {
        self.calls / self.time.as_secs_f64()
    }

    /// Processor time of the server in seconds.
    fn per_call(&self) -> f64 {
        self.processor.as_secs_f64() / self.calls
    }
}
