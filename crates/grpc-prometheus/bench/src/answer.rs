//! The same service for tonic's server.

use std::{
    convert::Infallible,
    future::poll_fn,
    pin::pin,
    task::{Context, Poll},
};

use bytes::Bytes;
use futures_util::future::BoxFuture;
use http::{HeaderMap, HeaderValue, Request, Response};
use tonic::{body::Body, server::NamedService};
use tower::Service;

use crate::Messages;

/// Reads the request and responds with one message.
#[derive(Clone, Copy, Debug)]
pub struct Answer;

// === impl Answer ===

impl NamedService for Answer {
    const NAME: &'static str = "bench.v1.Service0";
}

impl<B> Service<Request<B>> for Answer
where
    B: http_body::Body<Data = Bytes> + Send + 'static,
{
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = BoxFuture<'static, Result<Response<Body>, Infallible>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
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
