//! Reset flags that a layer shares with its server.

use std::{
    convert::Infallible,
    pin::Pin,
    sync::{Arc, Mutex},
    task::{Context, Poll},
};

use bytes::Bytes;
use futures_util::{FutureExt, future::BoxFuture};
use grpc_prometheus::{Exposition, RequestBody, ResetFlag, ServerMetrics};
use http::{Extensions, Request, Response};
use http_body::{Body, Frame};
use http_body_util::{BodyExt, Empty, StreamBody};
use tower::{Layer, Service};

use crate::{
    echo::echo_descriptor_set,
    resets::{UNARY, frames, request, reset},
};

fn share(extensions: &mut Extensions, flag: ResetFlag) {
    extensions.insert(flag);
}

/// The flags in the extensions of a service's requests.
type Found = Arc<Mutex<Vec<Option<ResetFlag>>>>;

/// Reads its request to any end, and responds with a body that never ends.
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
