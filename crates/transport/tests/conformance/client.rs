//! Calls through a transport, with what becomes of them.

use std::convert::Infallible;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use futures_util::stream;
use http::{HeaderMap, HeaderValue, Request, Response, header};
use http_body::Frame;
use http_body_util::{BodyExt, Full, StreamBody};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tonic::body::Body;
use tonic::{Code, Status};
use tower::{Service, ServiceExt};

use crate::peer::{MESSAGE, Peer};
use crate::stack::Stack;
use crate::wire::Wire;

/// A caller of one transport.
pub(crate) struct Client<S: Stack> {
    transport: S::Transport,
}

/// A response with its whole body.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) headers: HeaderMap,
    pub(crate) data: Bytes,
    pub(crate) trailers: HeaderMap,
}

/// A call that goes on by itself, and is cancelled by `abort`.
pub(crate) type Call = JoinHandle<Result<Answer, Status>>;

/// An endless request body that counts what was taken of it.
#[derive(Debug)]
pub(crate) struct Endless {
    taken: Arc<AtomicUsize>,
}

/// The size of each of its chunks.
pub(crate) const CHUNK: usize = 8 << 10;

/// A new transport and the far end of its connections.
pub(crate) fn dial<S: Stack>() -> (Client<S>, Wire) {
    let (transport, wire) = S::dial();
    (Client { transport }, wire)
}

/// A request as a generated client makes them.
pub(crate) fn request(path: &str, body: Body) -> Request<Body> {
    let mut request = Request::post(path).body(body).unwrap();
    let headers = request.headers_mut();
    headers.insert(header::TE, HeaderValue::from_static("trailers"));
    let grpc = HeaderValue::from_static("application/grpc");
    headers.insert(header::CONTENT_TYPE, grpc);
    request
}

/// A request with [`MESSAGE`].
pub(crate) fn unary() -> Request<Body> {
    request("/test.Echo/Unary", Body::new(Full::from(MESSAGE)))
}

/// A body of what the sender sends, which ends with it.
pub(crate) fn upload() -> (mpsc::UnboundedSender<Bytes>, Body) {
    let (sender, receiver) = mpsc::unbounded_channel();
    let frames = stream::unfold(receiver, async |mut receiver| {
        let data: Bytes = mpsc::UnboundedReceiver::recv(&mut receiver).await?;
        Some((Ok::<_, Infallible>(Frame::data(data)), receiver))
    });
    (sender, Body::new(StreamBody::new(Box::pin(frames))))
}

/// The next connection, which has to come before `call` ends.
pub(crate) async fn next_connection(wire: &mut Wire, call: &mut Call) -> Peer {
    tokio::select! {
        peer = wire.accept() => peer,
        ended = call => panic!("ended without another connection: {:?}", code(ended.unwrap())),
    }
}

/// What a generated client makes of a call's end.
pub(crate) fn code(ended: Result<Answer, Status>) -> Code {
    ended.map_or_else(|status| status.code(), |answer| answer.code())
}

/// Lets everything happen that needs no time to pass. Only under paused time.
pub(crate) async fn quiet() {
    tokio::time::sleep(Duration::from_millis(10)).await;
}

// === impl Client ===

impl<S: Stack> Clone for Client<S> {
    fn clone(&self) -> Self {
        Self {
            transport: self.transport.clone(),
        }
    }
}

impl<S: Stack> Client<S> {
    /// Sends a request; returns the response before its body.
    pub(crate) async fn send(&self, request: Request<Body>) -> Result<Response<S::Body>, Status> {
        let mut transport = self.transport.clone();
        let ready = transport.ready().await;
        let ready = ready.map_err(|error| Status::from_error(error.into()))?;
        let response = ready.call(request).await;
        response.map_err(|error| Status::from_error(error.into()))
    }

    /// Sends a request and reads the whole response.
    pub(crate) async fn call(&self, request: Request<Body>) -> Result<Answer, Status> {
        read(self.send(request).await?).await
    }

    /// A unary call's code, OK included, as a generated client reads it.
    pub(crate) async fn code(&self) -> Code {
        code(self.call(unary()).await)
    }

    /// Starts a call up to its response's head.
    pub(crate) fn open(
        &self,
        request: Request<Body>,
    ) -> JoinHandle<Result<Response<S::Body>, Status>> {
        let client = self.clone();
        tokio::spawn(async move { client.send(request).await })
    }

    pub(crate) fn start(&self, request: Request<Body>) -> Call {
        let client = self.clone();
        tokio::spawn(async move { client.call(request).await })
    }
}

/// Reads the whole response.
pub(crate) async fn read<B>(response: Response<B>) -> Result<Answer, Status>
where
    B: http_body::Body<Data = Bytes, Error: Into<tower::BoxError>> + Unpin,
{
    let (head, body) = response.into_parts();
    let body = body.collect().await;
    let body = body.map_err(|error| Status::from_error(error.into()))?;
    Ok(Answer {
        headers: head.headers,
        trailers: body.trailers().cloned().unwrap_or_default(),
        data: body.to_bytes(),
    })
}

// === impl Answer ===

impl Answer {
    /// The code in the trailers, or in the headers of a response without a body.
    pub(crate) fn code(&self) -> Code {
        let status = self.trailers.get("grpc-status");
        let status = status.or_else(|| self.headers.get("grpc-status"));
        status.map_or(Code::Unknown, |status| Code::from_bytes(status.as_bytes()))
    }
}

// === impl Endless ===

impl Endless {
    /// The body, and the number of bytes that were taken of it. The body holds the other half of
    /// the count: once it is dropped, `Arc::strong_count` is 1.
    pub(crate) fn body() -> (Body, Arc<AtomicUsize>) {
        let taken = Arc::new(AtomicUsize::new(0));
        let body = Self {
            taken: Arc::clone(&taken),
        };
        (Body::new(body), taken)
    }
}

impl http_body::Body for Endless {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        self.taken.fetch_add(CHUNK, Ordering::Relaxed);
        Poll::Ready(Some(Ok(Frame::data(Bytes::from_static(&[0; CHUNK])))))
    }
}
