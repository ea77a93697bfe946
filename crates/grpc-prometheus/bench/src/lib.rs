//! A service without work, and calls of it, so that a measurement shows the cost of a layer. The
//! bodies are tonic's, boxed with and without the layer.

pub mod answer;
pub mod processors;
pub mod ratios;

use std::{
    cell::Cell,
    convert::Infallible,
    future::Future,
    pin::{Pin, pin},
    task::{Context, Poll, Waker},
};

use bytes::Bytes;
use http::{
    HeaderMap, HeaderValue, Method, Request, Response, Uri,
    header::{CONTENT_TYPE, TE, USER_AGENT},
    request,
};
use http_body::{Body, Frame};
use prost::Message;
use prost_types::{
    FileDescriptorProto, FileDescriptorSet, MethodDescriptorProto, ServiceDescriptorProto,
};
use tonic::body;
use tower::Service;

const MESSAGE: Bytes = Bytes::from_static(&[0, 0, 0, 0, 2, 8, 1]);

thread_local! {
    /// Reused by the next call.
    static HEAD: Cell<Option<request::Parts>> = const { Cell::new(None) };
    static TRAILERS: Cell<Option<HeaderMap>> = const { Cell::new(None) };
}

/// This many messages, each a frame, and optional trailers.
#[derive(Debug)]
pub struct Messages {
    pub count: u32,
    pub trailers: Option<HeaderMap>,
}

/// Reads the request and responds with this many messages and an OK.
#[derive(Clone, Copy, Debug)]
pub struct NoOp {
    pub messages: u32,
}

/// Creates the response when polled, like the future of a generated server.
#[derive(Debug)]
pub struct Answer {
    messages: u32,
}

impl Body for Messages {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        if self.count > 0 {
            self.count -= 1;
            return Poll::Ready(Some(Ok(Frame::data(MESSAGE))));
        }
        Poll::Ready(self.trailers.take().map(Frame::trailers).map(Ok))
    }
}

impl<B: Body<Data = Bytes> + Unpin> Service<Request<B>> for NoOp {
    type Response = Response<body::Body>;
    type Error = Infallible;
    type Future = Answer;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    /// Not inlined, like a service in the box of tonic's router.
    #[inline(never)]
    fn call(&mut self, request: Request<B>) -> Answer {
        let (head, body) = request.into_parts();
        read(body);
        HEAD.set(Some(head));
        Answer {
            messages: self.messages,
        }
    }
}

impl Future for Answer {
    type Output = Result<Response<body::Body>, Infallible>;

    #[inline(never)]
    fn poll(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Self::Output> {
        Poll::Ready(Ok(Response::new(body::Body::new(Messages {
            count: self.messages,
            trailers: TRAILERS.take(),
        }))))
    }
}

/// Prepares the request head that all calls of this thread reuse.
pub fn prepare(uri: Uri) {
    let (mut head, ()) = Request::new(()).into_parts();
    head.method = Method::POST;
    head.uri = uri;
    for (name, value) in [
        (CONTENT_TYPE, "application/grpc"),
        (TE, "trailers"),
        (USER_AGENT, "bench"),
    ] {
        head.headers.insert(name, HeaderValue::from_static(value));
    }
    let mut trailers = HeaderMap::new();
    trailers.insert("grpc-status", HeaderValue::from_static("0"));
    HEAD.set(Some(head));
    TRAILERS.set(Some(trailers));
}

/// Makes one call, from the request to the trailers.
#[inline(never)]
pub fn call<S, B>(service: &mut S)
where
    S: Service<Request<body::Body>, Response = Response<B>>,
    B: Body<Data = Bytes> + Unpin,
{
    let head = HEAD.take().expect("prepared");
    let body = body::Body::new(Messages {
        count: 1,
        trailers: None,
    });
    let future = pin!(service.call(Request::from_parts(head, body)));
    let mut cx = Context::from_waker(Waker::noop());
    let Poll::Ready(Ok(response)) = future.poll(&mut cx) else {
        panic!("a no-op service answers at once");
    };
    TRAILERS.set(read(response.into_body()));
}

#[inline(never)]
fn read(mut body: impl Body<Data = Bytes> + Unpin) -> Option<HeaderMap> {
    let mut cx = Context::from_waker(Waker::noop());
    while let Poll::Ready(Some(Ok(frame))) = Pin::new(&mut body).poll_frame(&mut cx) {
        if let Ok(trailers) = frame.into_trailers() {
            return Some(trailers);
        }
    }
    None
}

/// `bench.v1.Service0` and further services, with ten methods each.
pub fn descriptor_set(methods: usize) -> Vec<u8> {
    let method = |index: usize| MethodDescriptorProto {
        name: Some(format!("Method{index}")),
        ..Default::default()
    };
    let services = (0..methods.div_ceil(10)).map(|service| ServiceDescriptorProto {
        name: Some(format!("Service{service}")),
        method: (0..10).map(method).collect(),
        ..Default::default()
    });
    let file = FileDescriptorProto {
        package: Some("bench.v1".to_owned()),
        service: services.collect(),
        ..Default::default()
    };
    FileDescriptorSet { file: vec![file] }.encode_to_vec()
}

pub const PATH: &str = "/bench.v1.Service0/Method3";
