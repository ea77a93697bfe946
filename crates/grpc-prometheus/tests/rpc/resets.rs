//! Requests that are reset while the service reads them, whatever the service then answers.

use std::{
    convert::Infallible,
    pin::Pin,
    sync::{Arc, Mutex},
    task::{Context, Poll},
};

use bytes::Bytes;
use futures_util::{FutureExt, future::BoxFuture};
use grpc_prometheus::{Exposition, RequestBody, ResetFlag, ServerMetrics};
use h2::Reason;
use http::{Extensions, Request, Response};
use http_body::{Body, Frame};
use http_body_util::{BodyExt, Empty, StreamBody};
use tokio::sync::{mpsc, watch};
use tokio_stream::wrappers::UnboundedReceiverStream;
use tonic::Status;
use tower::{Layer, Service, service_fn};

use crate::{
    duplex::server,
    echo::echo_descriptor_set,
    expect::{calls, expected, moved, only},
    layers::grpc,
};

const UNARY: &str = "/t.v1.Echo/Unary";

/// A request body whose frames come from the other end of a channel.
type Frames = StreamBody<UnboundedReceiverStream<Result<Frame<Bytes>, h2::Error>>>;
type Sender = mpsc::UnboundedSender<Result<Frame<Bytes>, h2::Error>>;
type Answer = BoxFuture<'static, Result<Response<tonic::body::Body>, Infallible>>;

fn frames() -> (Sender, Frames) {
    let (send, receive) = mpsc::unbounded_channel();
    (send, StreamBody::new(UnboundedReceiverStream::new(receive)))
}

fn reset(frames: &Sender) {
    frames.send(Err(Reason::CANCEL.into())).unwrap();
}

fn request<B>(path: &str, body: B) -> Request<B> {
    grpc(path).body(body).unwrap()
}

fn ok() -> Response<tonic::body::Body> {
    Status::ok("").into_http()
}

/// Reads its request to an end of any kind, waits until that many requests were read, and answers
/// OK.
fn reader(
    read: watch::Sender<usize>,
    awaited: usize,
) -> impl Service<
    Request<RequestBody<Frames>>,
    Response = Response<tonic::body::Body>,
    Error = Infallible,
    Future = Answer,
> {
    service_fn(move |request: Request<RequestBody<Frames>>| -> Answer {
        let read = read.clone();
        async move {
            let mut body = request.into_body();
            while let Some(Ok(_)) = body.frame().await {}
            read.send_modify(|read| *read += 1);
            let mut read = read.subscribe();
            read.wait_for(|read| *read == awaited).await.unwrap();
            Ok(ok())
        }
        .boxed()
    })
}

#[tokio::test]
async fn of_two_thousand_open_calls_exactly_those_that_are_reset_are_canceled() {
    const CALLS: usize = 2_000;
    let (exposition, metrics) = server();
    let (read, _) = watch::channel(0);
    let mut service = metrics.layer().layer(reader(read.clone(), CALLS));
    let mut calls = Vec::new();
    let mut senders = Vec::new();
    for index in 0..CALLS {
        let (send, body) = frames();
        calls.push(tokio::spawn(service.call(request(UNARY, body))));
        senders.push((send, index % 4 != 0));
    }
    assert_eq!(metrics.snapshot().started, CALLS as u64);
    for (send, resets) in senders {
        if resets {
            reset(&send);
        }
    }
    for call in calls {
        call.await.unwrap().unwrap();
    }
    let lines = [
        "server started Unary 2000",
        "server handled Canceled Unary 1500",
        "server handled OK Unary 500",
        "server handling Unary 2000",
    ];
    assert_eq!(moved(&exposition), expected(&lines));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn calls_of_many_threads_that_are_reset_at_once_are_all_canceled() {
    const CALLS: usize = 1_000;
    let (exposition, metrics) = server();
    let (read, _) = watch::channel(0);
    let mut tasks = Vec::new();
    for index in 0..CALLS {
        let mut service = metrics.layer().layer(reader(read.clone(), CALLS));
        tasks.push(tokio::spawn(async move {
            let (send, body) = frames();
            let call = tokio::spawn(service.call(request(UNARY, body)));
            if index.is_multiple_of(2) {
                reset(&send);
            }
            drop(send);
            call.await.unwrap().unwrap();
        }));
    }
    for task in tasks {
        task.await.unwrap();
    }
    let lines = [
        "server started Unary 1000",
        "server handled Canceled Unary 500",
        "server handled OK Unary 500",
        "server handling Unary 1000",
    ];
    assert_eq!(moved(&exposition), expected(&lines));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_request_that_is_reset_in_another_task_than_the_handlers_is_canceled() {
    for resets in [true, false] {
        let (exposition, metrics) = server();
        let mut service =
            metrics
                .layer()
                .layer(service_fn(|request: Request<RequestBody<Frames>>| async {
                    let mut body = request.into_body();
                    let reader =
                        tokio::spawn(async move { while let Some(Ok(_)) = body.frame().await {} });
                    reader.await.unwrap();
                    Ok::<_, Infallible>(ok())
                }));
        let (send, body) = frames();
        let call = tokio::spawn(service.call(request(UNARY, body)));
        if resets {
            reset(&send);
        }
        drop(send);
        call.await.unwrap().unwrap();
        let code = if resets { "Canceled" } else { "OK" };
        assert_eq!(
            moved(&exposition),
            only(&[calls("server", "Unary", code, 0, 0)])
        );
    }
}

// A body that outlives its call must not be taken for that of a later one.
#[tokio::test]
async fn a_request_body_that_is_reset_after_its_call_changes_no_later_call() {
    let (exposition, metrics) = server();
    let kept = Arc::new(Mutex::new(Vec::new()));
    let keep = Arc::clone(&kept);
    let mut service =
        metrics
            .layer()
            .layer(service_fn(move |request: Request<RequestBody<Frames>>| {
                keep.lock().unwrap().push(request.into_body());
                async { Ok::<_, Infallible>(ok()) }
            }));
    let (send, body) = frames();
    drop(service.call(request(UNARY, body)).await.unwrap());
    let (_open, body) = frames();
    let later = service.call(request(UNARY, body));
    reset(&send);
    let mut first = kept.lock().unwrap().remove(0);
    first.frame().await.unwrap().unwrap_err();
    later.await.unwrap();
    let lines = [
        "server started Unary 2",
        "server handled OK Unary 2",
        "server handling Unary 2",
    ];
    assert_eq!(moved(&exposition), expected(&lines));
}

fn share(extensions: &mut Extensions, flag: ResetFlag) {
    extensions.insert(flag);
}

/// Flags that a service finds with its requests.
type Found = Arc<Mutex<Vec<Option<ResetFlag>>>>;

/// Reads its request to an end of any kind and answers with a body that never ends.
#[derive(Clone, Default)]
struct Finder {
    found: Found,
}

impl<B> Service<Request<RequestBody<B>>> for Finder
where
    B: Body<Data = Bytes> + Send + Unpin + 'static,
    B::Error: Into<tower::BoxError>,
{
    type Response = Response<StreamBody<Endless>>;
    type Error = Infallible;
    type Future = BoxFuture<'static, Result<Self::Response, Infallible>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<RequestBody<B>>) -> Self::Future {
        let flag = request.extensions().get().copied();
        self.found.lock().unwrap().push(flag);
        let mut body = request.into_body();
        async move {
            while let Some(Ok(_)) = body.frame().await {}
            Ok(Response::new(StreamBody::new(Endless)))
        }
        .boxed()
    }
}

#[derive(Debug)]
struct Endless;

impl futures_util::Stream for Endless {
    type Item = Result<Frame<Bytes>, Infallible>;

    fn poll_next(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        Poll::Pending
    }
}

fn excluding() -> ServerMetrics {
    let builder = ServerMetrics::builder()
        .descriptor_set(&echo_descriptor_set())
        .exclude_health_and_reflection(true);
    builder.register(&Exposition::default()).unwrap()
}

#[tokio::test]
async fn the_flag_of_a_request_is_set_until_its_response_is_dropped() {
    for path in [UNARY, "/no.Such/X", "/grpc.health.v1.Health/Check"] {
        let finder = Finder::default();
        let layer = excluding().layer().share_reset(share);
        let mut service = layer.layer(finder.clone());
        let (send, body) = frames();
        let mut call = Box::pin(service.call(request(path, body)));
        let flag = finder.found.lock().unwrap()[0].unwrap();
        assert!((&mut call).now_or_never().is_none());
        assert!(!flag.is_set(), "{path}");
        reset(&send);
        let response = call.await.unwrap();
        assert!(flag.is_set(), "{path}");
        drop(response);
        assert!(!flag.is_set(), "{path}");
    }
}

#[tokio::test]
async fn a_request_that_ends_well_leaves_its_flag_unset() {
    let finder = Finder::default();
    let layer = excluding().layer().share_reset(share);
    let mut service = layer.layer(finder.clone());
    for path in [UNARY, "/grpc.health.v1.Health/Check"] {
        let (send, body) = frames();
        send.send(Ok(Frame::data(Bytes::from_static(&[0; 5]))))
            .unwrap();
        drop(send);
        let response = service.call(request(path, body)).await.unwrap();
        let flag = finder.found.lock().unwrap().pop().unwrap().unwrap();
        assert!(!flag.is_set(), "{path}");
        drop(response);
    }
}

#[tokio::test]
async fn the_flag_of_an_ended_call_stays_unset_when_a_later_call_is_reset() {
    let finder = Finder::default();
    let layer = excluding().layer().share_reset(share);
    let mut service = layer.layer(finder.clone());
    let mut responses = Vec::new();
    for _ in 0..3 {
        let (send, body) = frames();
        reset(&send);
        drop(responses.pop());
        responses.push(service.call(request(UNARY, body)).await.unwrap());
    }
    let flags = finder.found.lock().unwrap();
    let set: Vec<_> = flags.iter().map(|flag| flag.unwrap().is_set()).collect();
    assert_eq!(set, [false, false, true]);
}

#[tokio::test]
async fn each_grpc_request_has_a_flag_and_no_other_request_has() {
    let finder = Finder::default();
    let layer = excluding().layer().share_reset(share);
    for (content_type, has_flag) in [
        (Some("application/grpc"), true),
        (Some("application/grpc+proto"), true),
        (Some("application/grpc-web"), true),
        (Some("application/grpc-web-text"), true),
        (Some("application/json"), false),
        (None, false),
    ] {
        let mut request = Request::post(UNARY);
        if let Some(content_type) = content_type {
            request = request.header("content-type", content_type);
        }
        let request = request.body(Empty::<Bytes>::new()).unwrap();
        drop(layer.layer(finder.clone()).call(request).await.unwrap());
        let flag = finder.found.lock().unwrap().pop().unwrap();
        assert_eq!(flag.is_some(), has_flag, "{content_type:?}");
    }
}

#[tokio::test]
async fn a_layer_that_shares_no_flag_leaves_none() {
    let finder = Finder::default();
    let mut service = excluding().layer().layer(finder.clone());
    drop(service.call(request(UNARY, Empty::<Bytes>::new())).await);
    assert!(finder.found.lock().unwrap()[0].is_none());
}
