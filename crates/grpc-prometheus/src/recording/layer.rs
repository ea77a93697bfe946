//! tower layers and services for servers and clients.

use std::task::{Context, Poll};

use http::{Extensions, Request, Response};
use http_body::Body;
use tower_layer::Layer;
use tower_service::Service;

use super::{
    body::{RequestBody, ResponseBody},
    boxed_errors::BoxedErrors,
    code::BoxError,
    future::ResponseFuture,
    handle::{MethodHandle, ResolveMethod},
    nesting::CountedRequest,
    registration::Registration,
    reset::{ResetFlag, ShareReset},
    role::{Client, Server},
};

/// A tower layer that records the calls of a server.
///
/// Errors of the inner service keep their type. To find the code of an error, the layer reads a
/// boxed error with its causes, and the errors of tonic, tower, hyper, h2 and `std::io`. Errors of
/// other types count as `Unknown`, so box them inside the layer if their causes have a code:
/// `ServiceBuilder::new().layer(metrics.layer()).map_err(BoxError::from)`.
#[derive(Clone, Debug)]
pub struct ServerLayer {
    registration: &'static Registration,
    hooks: Hooks,
}

/// A tower layer that records the calls of a client, for tonic's `Channel`.
#[derive(Clone, Debug)]
pub struct ClientLayer {
    registration: &'static Registration,
}

/// A [`ClientLayer`] for services that accept any body. It does not box the request body.
#[derive(Clone, Debug)]
pub struct UnboxedClientLayer {
    registration: &'static Registration,
}

/// A server's service that records its calls.
#[derive(Clone, Debug)]
pub struct MeteredServer<S> {
    inner: S,
    registration: &'static Registration,
    hooks: Hooks,
}

/// A client's service that accepts any body and records its calls.
#[derive(Clone, Debug)]
pub struct MeteredClient<S> {
    inner: S,
    registration: &'static Registration,
}

/// A tonic `Channel`, or a service with the same request type, that records its calls.
#[cfg(feature = "tonic")]
#[derive(Clone, Debug)]
pub struct MeteredChannel<S> {
    inner: S,
    registration: &'static Registration,
}

/// Functions that a server gives its layer. Client layers have none.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Hooks {
    pub(crate) resolve: Option<ResolveMethod>,
    pub(crate) share_reset: Option<ShareReset>,
}

// === impl ServerLayer ===

impl ServerLayer {
    pub(crate) const fn new(registration: &'static Registration) -> Self {
        Self {
            registration,
            hooks: Hooks::NONE,
        }
    }

    /// Reads the method of a call from the request's extensions: if `resolve` returns a handle, the
    /// layer does not look up the path. Default: the layer looks up every path.
    ///
    /// For servers that resolve paths themselves. The handle takes precedence over the path. A
    /// handle of another [`ServerMetrics`](crate::ServerMetrics) than the layer's or a clone of it
    /// is ignored.
    pub const fn resolved_by(mut self, resolve: fn(&Extensions) -> Option<MethodHandle>) -> Self {
        self.hooks.resolve = Some(resolve);
        self
    }

    /// Calls `share` for each gRPC request before it reaches the inner service, to store the
    /// request's [`ResetFlag`] in its extensions. Default: not shared.
    ///
    /// A gRPC request is one whose content type starts with `application/grpc`. It has a flag even
    /// if it is not counted.
    pub const fn share_reset(mut self, share: fn(&mut Extensions, ResetFlag)) -> Self {
        self.hooks.share_reset = Some(share);
        self
    }
}

impl<S> Layer<S> for ServerLayer {
    type Service = MeteredServer<S>;

    fn layer(&self, inner: S) -> MeteredServer<S> {
        MeteredServer {
            inner,
            registration: self.registration,
            hooks: self.hooks,
        }
    }
}

// === impl ClientLayer ===

impl ClientLayer {
    pub(crate) const fn new(registration: &'static Registration) -> Self {
        Self { registration }
    }
}

impl ClientLayer {
    /// A layer for services that accept a [`RequestBody`], such as hyper's clients. It allocates
    /// nothing per call, while the layer for a `Channel` boxes the request body.
    pub fn unboxed(&self) -> UnboxedClientLayer {
        UnboxedClientLayer {
            registration: self.registration,
        }
    }
}

#[cfg(feature = "tonic")]
impl<S> Layer<S> for ClientLayer {
    type Service = MeteredChannel<S>;

    fn layer(&self, inner: S) -> MeteredChannel<S> {
        MeteredChannel {
            inner,
            registration: self.registration,
        }
    }
}

// === impl UnboxedClientLayer ===

impl<S> Layer<S> for UnboxedClientLayer {
    type Service = MeteredClient<S>;

    fn layer(&self, inner: S) -> MeteredClient<S> {
        MeteredClient {
            inner,
            registration: self.registration,
        }
    }
}

// === impl MeteredServer ===

impl<S, ReqB, ResB> Service<Request<ReqB>> for MeteredServer<S>
where
    S: Service<Request<RequestBody<ReqB, Server>>, Response = Response<ResB>>,
    S::Error: 'static,
    ResB: Body,
{
    type Response = Response<ResponseBody<ResB, Server>>;
    type Error = S::Error;
    type Future = ResponseFuture<S::Future, Server>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, mut request: Request<ReqB>) -> Self::Future {
        let mut counted = CountedRequest::NONE;
        let open = self
            .registration
            .start(&mut request, self.hooks, &mut counted);
        let (series, reset) = (open.series(), open.reset());
        let request = request.map(|body| RequestBody::new(body, series, reset));
        ResponseFuture::start(open, counted, || self.inner.call(request))
    }
}

// === impl MeteredClient ===

impl<S, ReqB, ResB> Service<Request<ReqB>> for MeteredClient<S>
where
    S: Service<Request<RequestBody<ReqB, Client>>, Response = Response<ResB>>,
    S::Error: Into<BoxError>,
    ResB: Body,
{
    type Response = Response<ResponseBody<ResB, Client>>;
    type Error = BoxError;
    type Future = ResponseFuture<BoxedErrors<S::Future>, Client>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        self.inner.poll_ready(cx).map_err(Into::into)
    }

    fn call(&mut self, mut request: Request<ReqB>) -> Self::Future {
        let mut counted = CountedRequest::NONE;
        let open = self
            .registration
            .start(&mut request, Hooks::NONE, &mut counted);
        let (series, reset) = (open.series(), open.reset());
        let request = request.map(|body| RequestBody::new(body, series, reset));
        ResponseFuture::start(open, counted, || BoxedErrors::new(self.inner.call(request)))
    }
}

// === impl MeteredChannel ===

#[cfg(feature = "tonic")]
impl<S, ReqB, ResB> Service<Request<ReqB>> for MeteredChannel<S>
where
    S: Service<Request<tonic::body::Body>, Response = Response<ResB>>,
    S::Error: Into<BoxError>,
    ReqB: Body<Data = bytes::Bytes> + Send + 'static,
    ReqB::Error: Into<BoxError>,
    ResB: Body,
{
    type Response = Response<ResponseBody<ResB, Client>>;
    type Error = BoxError;
    type Future = ResponseFuture<BoxedErrors<S::Future>, Client>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        self.inner.poll_ready(cx).map_err(Into::into)
    }

    fn call(&mut self, mut request: Request<ReqB>) -> Self::Future {
        let mut counted = CountedRequest::NONE;
        let open = self
            .registration
            .start::<Client, _>(&mut request, Hooks::NONE, &mut counted);
        let (series, reset) = (open.series(), open.reset());
        let body =
            |body| tonic::body::Body::new(RequestBody::<_, Client>::new(body, series, reset));
        let request = request.map(body);
        ResponseFuture::start(open, counted, || BoxedErrors::new(self.inner.call(request)))
    }
}

// === impl Hooks ===

impl Hooks {
    const NONE: Self = Self {
        resolve: None,
        share_reset: None,
    };
}
