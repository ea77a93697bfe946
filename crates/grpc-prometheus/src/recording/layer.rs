//! The tower layers and services.

use std::task::{Context, Poll};

use http::{Extensions, Request, Response};
use http_body::Body;
use tower_layer::Layer;
use tower_service::Service;

use super::{
    body::{RequestBody, ResponseBody},
    code::BoxError,
    future::ResponseFuture,
    handle::{MethodHandle, Resolve},
    registration::Registration,
    reset::{ResetFlag, ShareReset},
};

/// Counts the calls that a server answers.
#[derive(Clone, Debug)]
pub struct ServerLayer {
    registration: &'static Registration,
    hooks: Hooks,
}

/// Counts the calls that a client makes.
#[derive(Clone, Debug)]
pub struct ClientLayer {
    registration: &'static Registration,
}

/// A [`ClientLayer`] for services that take any body: it does not box the request's.
#[derive(Clone, Debug)]
pub struct UnboxedClientLayer {
    registration: &'static Registration,
}

/// A service whose calls are counted.
#[derive(Clone, Debug)]
pub struct Metered<S> {
    inner: S,
    registration: &'static Registration,
    hooks: Hooks,
}

/// A tonic `Channel`, or anything that takes its requests, whose calls are counted.
#[cfg(feature = "tonic")]
#[derive(Clone, Debug)]
pub struct MeteredChannel<S> {
    inner: S,
    registration: &'static Registration,
}

/// Functions that the server around a layer gives it. A client's layer has none.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Hooks {
    pub(crate) resolve: Option<Resolve>,
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

    /// Takes the method of a call from the request's extensions where `resolve` finds its handle
    /// there, and looks its path up where it does not. Default: every path is looked up.
    ///
    /// A server that resolves paths itself thus does so once. The handle decides, whatever the
    /// path is. A handle that was made by another [`ServerMetrics`](crate::ServerMetrics) than the
    /// layer's, or than one of its clones, is ignored.
    pub const fn resolved_by(mut self, resolve: fn(&Extensions) -> Option<MethodHandle>) -> Self {
        self.hooks.resolve = Some(resolve);
        self
    }

    /// Leaves the [`ResetFlag`] of each gRPC request in its extensions, by way of `share`, before
    /// the request goes on to the service. Default: nothing is left there.
    ///
    /// Each request whose content type begins with `application/grpc` has a flag, also those that
    /// are not counted.
    pub const fn share_reset(mut self, share: fn(&mut Extensions, ResetFlag)) -> Self {
        self.hooks.share_reset = Some(share);
        self
    }
}

impl<S> Layer<S> for ServerLayer {
    type Service = Metered<S>;

    fn layer(&self, inner: S) -> Metered<S> {
        Metered {
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
    /// A layer for services that take a [`RequestBody`], such as hyper's clients: it allocates
    /// nothing. The layer for tonic's `Channel`, which takes only tonic's own body, has to box
    /// the request body once per call.
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
    type Service = Metered<S>;

    fn layer(&self, inner: S) -> Metered<S> {
        Metered {
            inner,
            registration: self.registration,
            hooks: Hooks::NONE,
        }
    }
}

// === impl Metered ===

impl<S, ReqB, ResB> Service<Request<ReqB>> for Metered<S>
where
    S: Service<Request<RequestBody<ReqB>>, Response = Response<ResB>>,
    S::Error: Into<BoxError>,
    ResB: Body,
{
    type Response = Response<ResponseBody<ResB>>;
    type Error = BoxError;
    type Future = ResponseFuture<S::Future>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        self.inner.poll_ready(cx).map_err(Into::into)
    }

    fn call(&mut self, mut request: Request<ReqB>) -> Self::Future {
        let open = self.registration.start(&mut request, self.hooks);
        let (head, body) = request.into_parts();
        let body = RequestBody::new(body, open.series(), open.reset());
        let request = Request::from_parts(head, body);
        ResponseFuture::new(self.inner.call(request), open)
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
    type Response = Response<ResponseBody<ResB>>;
    type Error = BoxError;
    type Future = ResponseFuture<S::Future>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        self.inner.poll_ready(cx).map_err(Into::into)
    }

    fn call(&mut self, mut request: Request<ReqB>) -> Self::Future {
        let open = self.registration.start(&mut request, Hooks::NONE);
        let (series, reset) = (open.series(), open.reset());
        let body = |body| tonic::body::Body::new(RequestBody::new(body, series, reset));
        let request = request.map(body);
        ResponseFuture::new(self.inner.call(request), open)
    }
}

// === impl Hooks ===

impl Hooks {
    const NONE: Self = Self {
        resolve: None,
        share_reset: None,
    };
}
