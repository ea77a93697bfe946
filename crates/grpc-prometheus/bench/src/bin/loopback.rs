//! Throughput of a tonic server over 127.0.0.1 with the layer and without it, in pairs of runs
//! that alternate, and the median of their ratios.
//!
//! `loopback [pairs] [seconds per run]`; the default is 21 pairs of 1 s.

use std::{
    convert::Infallible,
    future::poll_fn,
    pin::{Pin, pin},
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    task::{Context, Poll},
    time::Duration,
};

use bytes::Bytes;
use futures_util::future::BoxFuture;
use grpc_prometheus::ServerMetrics;
use grpc_prometheus_bench::{Messages, PATH, descriptor_set};
use http::{HeaderMap, HeaderValue, Request, Response};
use http_body::Body as _;
use prometheus::Registry;
use tokio::{net::TcpListener, runtime::Runtime};
use tokio_stream::wrappers::TcpListenerStream;
use tonic::{
    body::Body,
    server::NamedService,
    service::Routes,
    transport::{Channel, Endpoint, Server},
};
use tower::{BoxError, Service, ServiceExt};

const CALLERS: usize = 64;

type Result<T> = std::result::Result<T, BoxError>;

/// Reads the request and answers one message.
#[derive(Clone)]
struct Answer;

impl NamedService for Answer {
    const NAME: &'static str = "bench.v1.Service0";
}

impl<B> Service<Request<B>> for Answer
where
    B: http_body::Body<Data = Bytes> + Send + 'static,
{
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = BoxFuture<'static, std::result::Result<Response<Body>, Infallible>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<std::result::Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        Box::pin(async move {
            let mut body = pin!(request.into_body());
            while let Some(Ok(_)) = poll_fn(|cx| body.as_mut().poll_frame(cx)).await {}
            let mut trailers = HeaderMap::new();
            trailers.insert("grpc-status", HeaderValue::from_static("0"));
            let answer = Messages {
                count: 1,
                trailers: Some(trailers),
            };
            Ok(Response::new(Body::new(answer)))
        })
    }
}

fn main() -> Result<()> {
    let mut arguments = std::env::args().skip(1);
    let pairs = number(arguments.next(), 21)?;
    let run = Duration::from_secs(number(arguments.next(), 1)?);
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()?;
    let without = serve(&runtime, false)?;
    let with = serve(&runtime, true)?;
    let warm_up = Duration::from_millis(500);
    measure(&runtime, &without, warm_up)?;
    measure(&runtime, &with, warm_up)?;
    let mut ratios = Vec::new();
    for pair in 0..pairs {
        // Who goes first gains or loses by it, so they take turns.
        let first = if pair % 2 == 0 { &without } else { &with };
        let second = if pair % 2 == 0 { &with } else { &without };
        let calls = [
            measure(&runtime, first, run)?,
            measure(&runtime, second, run)?,
        ];
        let [without, with] = if pair % 2 == 0 {
            calls
        } else {
            [calls[1], calls[0]]
        };
        println!("pair {pair}: {without:.0} calls/s without, {with:.0} with");
        ratios.push(with / without);
    }
    report(ratios);
    Ok(())
}

fn number(argument: Option<String>, default: u64) -> Result<u64> {
    let Some(argument) = argument else {
        return Ok(default);
    };
    let number = argument.parse();
    number.map_err(|_| format!("{argument:?} is not a whole number").into())
}

fn report(mut ratios: Vec<f64>) {
    ratios.sort_by(f64::total_cmp);
    let last = ratios.len().saturating_sub(1) as f64;
    let quartiles = [0.25, 0.5, 0.75].map(|share| ratios.get((last * share).round() as usize));
    if let [Some(first), Some(median), Some(third)] = quartiles {
        println!("median of the ratios: {median:.4} (quartiles {first:.4} and {third:.4})");
    }
}

fn serve(runtime: &Runtime, metered: bool) -> Result<Channel> {
    runtime.block_on(async {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let address = listener.local_addr()?;
        let incoming = TcpListenerStream::new(listener);
        let routes = Routes::new(Answer);
        if metered {
            let metrics = ServerMetrics::builder().descriptor_set(&descriptor_set(20));
            let metrics = metrics.register(&Registry::new())?;
            let server = Server::builder().layer(metrics.layer()).add_routes(routes);
            tokio::spawn(server.serve_with_incoming(incoming));
        } else {
            let server = Server::builder().add_routes(routes);
            tokio::spawn(server.serve_with_incoming(incoming));
        }
        let endpoint = Endpoint::from_shared(format!("http://{address}"))?;
        Ok(endpoint.connect().await?)
    })
}

/// Calls per second of many callers at once.
fn measure(runtime: &Runtime, channel: &Channel, run: Duration) -> Result<f64> {
    let stop = Arc::new(AtomicBool::new(false));
    let done = Arc::new(AtomicU64::new(0));
    runtime.block_on(async {
        let callers = (0..CALLERS).map(|_| {
            let (channel, stop, done) = (channel.clone(), Arc::clone(&stop), Arc::clone(&done));
            tokio::spawn(call_until(channel, stop, done))
        });
        let callers: Vec<_> = callers.collect();
        tokio::time::sleep(run).await;
        stop.store(true, Ordering::Relaxed);
        for caller in callers {
            caller.await??;
        }
        Ok(done.load(Ordering::Relaxed) as f64 / run.as_secs_f64())
    })
}

async fn call_until(
    mut channel: Channel,
    stop: Arc<AtomicBool>,
    done: Arc<AtomicU64>,
) -> Result<()> {
    while !stop.load(Ordering::Relaxed) {
        call(&mut channel).await?;
        done.fetch_add(1, Ordering::Relaxed);
    }
    Ok(())
}

/// One call, which must end in an OK.
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
    match trailers.as_ref().and_then(|all| all.get("grpc-status")) {
        Some(status) if status == "0" => Ok(()),
        other => Err(format!("grpc-status is {other:?} and not 0").into()),
    }
}
