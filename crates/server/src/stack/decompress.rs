//! Decompresses and checks the messages of requests, for every service alike.
//!
//! tonic's generated servers can do it too, but only where each service asks its own type to. After
//! this layer, they see requests without compression.

mod check;
mod encoding;

use std::pin::Pin;
use std::task::{Context, Poll, ready as try_ready};

use bytes::{Buf, Bytes, BytesMut};
use futures_util::TryFutureExt;
use futures_util::future::MapOk;
use http::{HeaderMap, HeaderName, HeaderValue, Request, Response};
use http_body::{Body as HttpBody, Frame};
use tonic::Status;
use tonic::body::Body;
use tower::{BoxError, Layer, Service};

use self::check::CheckedBody;
use self::encoding::Encoding;
use crate::methods::MethodKind;
use crate::request::RequestInfo;

const GRPC_ACCEPT_ENCODING: HeaderName = HeaderName::from_static("grpc-accept-encoding");
const GRPC_ENCODING: HeaderName = HeaderName::from_static("grpc-encoding");
/// tonic's default limit of a message, which bounds decompressed ones as well.
const MAX_MESSAGE: usize = 4 << 20;
/// The length of the flag and the size before each message.
const PREFIX: usize = 5;

/// Makes [`Decompress`] services.
#[derive(Clone, Copy, Debug)]
pub(super) struct DecompressLayer;

/// Adds the known encodings to a response.
type Advertise = fn(Response<Body>) -> Response<Body>;

/// Decompresses requests, refuses those that are not whole messages, and names the known encodings in each response. Requests in other
/// encodings are refused before they get here.
#[derive(Clone, Debug)]
pub(super) struct Decompress<S> {
    inner: S,
}

/// A request body whose messages are not compressed.
struct DecompressedBody<B> {
    inner: B,
    encoding: Encoding,
    /// Received and not passed on yet.
    received: BytesMut,
    state: State,
    /// The call takes a message, and none has begun.
    lacks_message: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// At the start of a message.
    Prefix,
    /// In a message without compression, with this many bytes left.
    Plain(usize),
    /// In a compressed message of this size.
    Compressed(usize),
    Ended,
}

// === impl DecompressLayer ===

impl<S> Layer<S> for DecompressLayer {
    type Service = Decompress<S>;

    fn layer(&self, inner: S) -> Self::Service {
        Decompress { inner }
    }
}

// === impl Decompress ===

impl<S, B> Service<Request<B>> for Decompress<S>
where
    S: Service<Request<Body>, Response = Response<Body>>,
    B: HttpBody<Data = Bytes, Error: Into<BoxError>> + Send + Unpin + 'static,
{
    type Response = Response<Body>;
    type Error = S::Error;
    type Future = MapOk<S::Future, Advertise>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, mut request: Request<B>) -> Self::Future {
        let info = request.extensions().get::<RequestInfo>();
        let method = info.and_then(RequestInfo::method);
        let is_unary = method.is_some_and(|method| method.kind == MethodKind::Unary);
        let request = match Encoding::of(request.headers()) {
            Some(encoding) => {
                request.headers_mut().remove(GRPC_ENCODING);
                request.map(|body| Body::new(DecompressedBody::new(body, encoding, is_unary)))
            }
            None => request.map(|body| Body::new(CheckedBody::new(body, is_unary))),
        };
        self.inner.call(request).map_ok(advertise)
    }
}

// === impl Encoding ===

impl Encoding {
    /// The encoding of a request; `None` if it is not compressed.
    fn of(headers: &HeaderMap) -> Option<Self> {
        Self::named(headers.get(GRPC_ENCODING)?.as_bytes())
    }
}

/// Whether the request is compressed in an encoding that nobody can decompress here.
pub(super) fn is_unsupported(headers: &HeaderMap) -> bool {
    let unknown = |name: &[u8]| name != b"identity" && Encoding::named(name).is_none();
    let name = headers.get(GRPC_ENCODING);
    name.is_some_and(|name| unknown(name.as_bytes()))
}

/// Names the known encodings in a response.
pub(super) fn advertise<B>(mut response: Response<B>) -> Response<B> {
    let supported = HeaderValue::from_static(encoding::SUPPORTED);
    response
        .headers_mut()
        .insert(GRPC_ACCEPT_ENCODING, supported);
    response
}

// === impl DecompressedBody ===

impl<B> DecompressedBody<B> {
    fn new(inner: B, encoding: Encoding, is_unary: bool) -> Self {
        Self {
            inner,
            encoding,
            received: BytesMut::new(),
            state: State::Prefix,
            lacks_message: is_unary,
        }
    }

    /// What can be passed on without further bytes.
    fn next(&mut self) -> Result<Option<Bytes>, Status> {
        if self.state == State::Prefix && self.received.len() >= PREFIX {
            let mut prefix = &self.received[..PREFIX];
            let flag = prefix.get_u8();
            self.lacks_message = false;
            let size = prefix.get_u32() as usize;
            self.state = match flag {
                0 => State::Plain(PREFIX + size),
                1 if size > MAX_MESSAGE => return Err(encoding::too_large(MAX_MESSAGE)),
                1 => State::Compressed(size),
                flag => return Err(check::unknown_flag(flag)),
            };
        }
        match self.state {
            State::Plain(left) => {
                let passed = left.min(self.received.len());
                self.state = match left - passed {
                    0 => State::Prefix,
                    left => State::Plain(left),
                };
                Ok((passed > 0).then(|| self.received.split_to(passed).freeze()))
            }
            State::Compressed(size) if self.received.len() >= PREFIX + size => {
                let message = self.received.split_to(PREFIX + size);
                self.state = State::Prefix;
                let message = self.encoding.decompress(&message[PREFIX..], MAX_MESSAGE)?;
                Ok(Some(message))
            }
            _ => Ok(None),
        }
    }
}

impl<B> HttpBody for DecompressedBody<B>
where
    B: HttpBody<Data = Bytes, Error: Into<BoxError>> + Unpin,
{
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        let this = self.get_mut();
        loop {
            match this.next() {
                Ok(Some(data)) => return Poll::Ready(Some(Ok(Frame::data(data)))),
                Ok(None) if this.state == State::Ended => return Poll::Ready(None),
                Ok(None) => {}
                Err(status) => {
                    this.received.clear();
                    this.state = State::Ended;
                    return Poll::Ready(Some(Err(status.into())));
                }
            }
            let Some(frame) = try_ready!(Pin::new(&mut this.inner).poll_frame(cx)) else {
                let is_whole = this.received.is_empty() && this.state == State::Prefix;
                this.received.clear();
                this.state = State::Ended;
                return Poll::Ready(match is_whole {
                    true if this.lacks_message => Some(Err(check::no_message().into())),
                    true => None,
                    false => Some(Err(check::cut().into())),
                });
            };
            match frame.map_err(Into::into)?.into_data() {
                Ok(data) => this.received.extend_from_slice(&data),
                Err(other) => return Poll::Ready(Some(Ok(other))),
            }
        }
    }
}

#[cfg(test)]
mod tests;
