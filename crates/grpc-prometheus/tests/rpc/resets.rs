//! Requests that are reset while the service reads them, whatever it responds.

use std::{
    convert::Infallible,
    io,
    sync::{Arc, Mutex},
};

use bytes::Bytes;
use futures_util::{FutureExt, future::BoxFuture};
use grpc_prometheus::RequestBody;
use h2::Reason;
use http::{Request, Response};
use http_body::Frame;
use http_body_util::{BodyExt, StreamBody};
use tokio::sync::{mpsc, watch};
use tokio_stream::wrappers::UnboundedReceiverStream;
use tonic::Status;
use tower::{Layer, Service, service_fn};

use crate::{
    duplex::server,
    expect::{calls, exactly, expected, nonzero_samples},
    layers::grpc,
};

pub(crate) const UNARY: &str = "/t.v1.Echo/Unary";

/// A request body fed by a channel.
type Frames = StreamBody<UnboundedReceiverStream<Result<Frame<Bytes>, h2::Error>>>;
type Sender = mpsc::UnboundedSender<Result<Frame<Bytes>, h2::Error>>;
type Answer = BoxFuture<'static, Result<Response<tonic::body::Body>, Infallible>>;

pub(crate) fn frames() -> (Sender, Frames) {
    let (send, receive) = mpsc::unbounded_channel();
    (send, StreamBody::new(UnboundedReceiverStream::new(receive)))
}

pub(crate) fn reset(frames: &Sender) {
    frames.send(Err(Reason::CANCEL.into())).unwrap();
}

pub(crate) fn request<B>(path: &str, body: B) -> Request<B> {
    grpc(path).body(body).unwrap()
}

fn not_found() -> Response<tonic::body::Body> {
    Status::not_found("").into_http()
}

/// Reads its request to any end, waits until this many requests are read, and responds with NotFound.
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
            Ok(not_found())
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
        "server handled NotFound Unary 500",
        "server handling Unary 2000",
    ];
    assert_eq!(nonzero_samples(&exposition), expected(&lines));
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
        "server handled NotFound Unary 500",
        "server handling Unary 1000",
    ];
    assert_eq!(nonzero_samples(&exposition), expected(&lines));
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
                    Ok::<_, Infallible>(not_found())
                }));
        let (send, body) = frames();
        let call = tokio::spawn(service.call(request(UNARY, body)));
        if resets {
            reset(&send);
        }
        drop(send);
        call.await.unwrap().unwrap();
        let code = if resets { "Canceled" } else { "NotFound" };
        assert_eq!(
            nonzero_samples(&exposition),
            exactly(&[calls("server", "Unary", code, 0, 0)])
        );
    }
}

// A body may outlive its call, and must not affect a later one.
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
                async { Ok::<_, Infallible>(not_found()) }
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
        "server handled NotFound Unary 2",
        "server handling Unary 2",
    ];
    assert_eq!(nonzero_samples(&exposition), expected(&lines));
}

// A layer outside reports corrupt gzip as an I/O error, too.
#[tokio::test]
async fn an_error_of_a_request_body_cancels_the_call_only_if_the_caller_is_gone() {
    use io::{Error, ErrorKind};

    type Failure = fn() -> Error;

    let cases: [(Failure, &str); 9] = [
        (|| ErrorKind::ConnectionReset.into(), "Canceled"),
        (|| ErrorKind::ConnectionAborted.into(), "Canceled"),
        (|| ErrorKind::BrokenPipe.into(), "Canceled"),
        (|| Error::other(h2::Error::from(Reason::CANCEL)), "Canceled"),
        (|| Error::other(Status::cancelled("gone")), "Canceled"),
        (
            || Error::new(ErrorKind::InvalidInput, "corrupt"),
            "InvalidArgument",
        ),
        (|| ErrorKind::InvalidData.into(), "InvalidArgument"),
        (|| ErrorKind::UnexpectedEof.into(), "InvalidArgument"),
        (|| Error::other("corrupt deflate stream"), "InvalidArgument"),
    ];
    for (error, code) in cases {
        let (exposition, metrics) = server();
        let service = service_fn(|request: Request<RequestBody<_>>| async {
            _ = request.into_body().collect().await;
            let status = Status::invalid_argument("the request is corrupt");
            Ok::<_, Infallible>(status.into_http::<tonic::body::Body>())
        });
        let failed = Err::<Frame<Bytes>, _>(error());
        let body = StreamBody::new(tokio_stream::iter([failed]));
        let mut service = metrics.layer().layer(service);
        service.call(request(UNARY, body)).await.unwrap();
        let lines = exactly(&[calls("server", "Unary", code, 0, 0)]);
        assert_eq!(nonzero_samples(&exposition), lines, "{:?}", error());
    }
}
