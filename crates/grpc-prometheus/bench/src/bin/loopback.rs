//! Throughput of a tonic server over 127.0.0.1 with the layer and without it, in pairs of runs
//! that alternate, and the median of their ratios.
//!
//! `loopback [pairs] [seconds per run]`; the default is 21 pairs of 1 s.

use std::{
    convert::Infallible,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::Duration,
};

use bytes::Bytes;
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
use tower::{Service, ServiceExt};

const CALLERS: usize = 64;

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
    type Future = futures_util::future::BoxFuture<'static, Result<Response<Body>, Infallible>>;

    fn poll_ready(
        &mut self,
        _: &mut std::task::Context<'_>,
    ) -> std::task::Poll<Result<(), Infallible>> {
        std::task::Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        Box::pin(async move {
            let mut body = std::pin::pin!(request.into_body());
            while let Some(Ok(_)) = std::future::poll_fn(|cx| body.as_mut().poll_frame(cx)).await {}
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

fn main() {
    let mut arguments = std::env::args()
        .skip(1)
        .map(|argument| argument.parse().unwrap());
    let pairs = arguments.next().unwrap_or(21);
    let run = Duration::from_secs(arguments.next().unwrap_or(1));
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .unwrap();
    let channels = [serve(&runtime, false), serve(&runtime, true)];
    let warm_up = Duration::from_millis(500);
    channels
        .iter()
        .for_each(|channel| _ = measure(&runtime, channel, warm_up));
    let mut ratios = Vec::new();
    for pair in 0..pairs {
        let [without, with] = match pair % 2 {
            0 => [0, 1].map(|index| measure(&runtime, &channels[index], run)),
            _ => {
                let [with, without] = [1, 0].map(|index| measure(&runtime, &channels[index], run));
                [without, with]
            }
        };
        println!("pair {pair}: {without:.0} calls/s without, {with:.0} with");
        ratios.push(with / without);
    }
    ratios.sort_by(f64::total_cmp);
    let at = |share: f64| ratios[((ratios.len() - 1) as f64 * share).round() as usize];
    println!(
        "median of the ratios: {:.4} (quartiles {:.4} and {:.4})",
        at(0.5),
        at(0.25),
        at(0.75)
    );
}

fn serve(runtime: &Runtime, metered: bool) -> Channel {
    runtime.block_on(async {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let incoming = TcpListenerStream::new(listener);
        let routes = Routes::new(Answer);
        if metered {
            let metrics = ServerMetrics::builder().descriptor_set(&descriptor_set(20));
            let metrics = metrics.register(&Registry::new()).unwrap();
            let server = Server::builder().layer(metrics.layer()).add_routes(routes);
            tokio::spawn(server.serve_with_incoming(incoming));
        } else {
            tokio::spawn(
                Server::builder()
                    .add_routes(routes)
                    .serve_with_incoming(incoming),
            );
        }
        let endpoint = Endpoint::from_shared(format!("http://{address}")).unwrap();
        endpoint.connect().await.unwrap()
    })
}

/// Calls per second of many callers at once.
fn measure(runtime: &Runtime, channel: &Channel, run: Duration) -> f64 {
    let (stop, done) = (
        Arc::new(AtomicBool::new(false)),
        Arc::new(AtomicU64::new(0)),
    );
    runtime.block_on(async {
        let callers = (0..CALLERS).map(|_| {
            let (mut channel, stop, done) = (channel.clone(), Arc::clone(&stop), Arc::clone(&done));
            tokio::spawn(async move {
                while !stop.load(Ordering::Relaxed) {
                    one(&mut channel).await;
                    done.fetch_add(1, Ordering::Relaxed);
                }
            })
        });
        let callers: Vec<_> = callers.collect();
        tokio::time::sleep(run).await;
        stop.store(true, Ordering::Relaxed);
        for caller in callers {
            caller.await.unwrap();
        }
    });
    done.load(Ordering::Relaxed) as f64 / run.as_secs_f64()
}

async fn one(channel: &mut Channel) {
    let body = Messages {
        count: 1,
        trailers: None,
    };
    let request = Request::post(PATH)
        .header("content-type", "application/grpc")
        .body(Body::new(body))
        .unwrap();
    let response = channel.ready().await.unwrap().call(request).await.unwrap();
    let mut body = response.into_body();
    let mut status = None;
    while let Some(frame) =
        std::future::poll_fn(|cx| std::pin::Pin::new(&mut body).poll_frame(cx)).await
    {
        status = frame.unwrap().into_trailers().ok();
    }
    assert_eq!(status.unwrap()["grpc-status"], "0");
}
