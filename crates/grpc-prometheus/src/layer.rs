//! The tower layers and services.

use std::task::{Context, Poll};

use http::{Extensions, Request, Response};
use http_body::Body;
use tower_layer::Layer;
use tower_service::Service;

use crate::{
    MethodHandle, RequestBody, ResponseBody, ResponseFuture, call::Open, code::BoxError,
    handle::Resolve, metrics::Metrics,
};

/// Counts the calls that a server answers.
#[derive(Clone, Debug)]
pub struct ServerLayer {
    metrics: &'static Metrics,
    resolve: Option<Resolve>,
}

/// Counts the calls that a client makes.
#[derive(Clone, Debug)]
pub struct ClientLayer {
    metrics: &'static Metrics,
}

/// A [`ClientLayer`] for services that take any body: it does not box the request's.
#[derive(Clone, Debug)]
pub struct UnboxedClientLayer {
    metrics: &'static Metrics,
}

/// A service whose calls are counted.
#[derive(Clone, Debug)]
pub struct Metered<S> {
    inner: S,
    metrics: &'static Metrics,
    /// Of a server alone.
    resolve: Option<Resolve>,
}

/// A tonic `Channel`, or anything that takes its requests, whose calls are counted.
#[cfg(feature = "tonic")]
#[derive(Clone, Debug)]
pub struct MeteredChannel<S> {
    inner: S,
    metrics: &'static Metrics,
}

// === impl ServerLayer ===

impl ServerLayer {
    pub(crate) const fn new(metrics: &'static Metrics) -> Self {
        Self {
            metrics,
            resolve: None,
        }
    }

    /// Takes the method of a call from the request's extensions where `resolve` finds its handle
    /// there, and looks its path up where it does not. Default: every path is looked up.
    ///
    /// A server that resolves paths itself thus does so once. The handle decides, whatever the
    /// path is. A handle that was made by another [`ServerMetrics`](crate::ServerMetrics) than the
    /// layer's, or than one of its clones, is ignored.
    pub const fn resolved_by(mut self, resolve: fn(&Extensions) -> Option<MethodHandle>) -> Self {
        self.resolve = Some(resolve);
        self
    }
}

impl<S> Layer<S> for ServerLayer {
    type Service = Metered<S>;

    fn layer(&self, inner: S) -> Metered<S> {
        Metered {
            inner,
            metrics: self.metrics,
            resolve: self.resolve,
        }
    }
}

// === impl ClientLayer ===

impl ClientLayer {
    pub(crate) const fn new(metrics: &'static Metrics) -> Self {
        Self { metrics }
    }
}

impl ClientLayer {
    /// A layer for services that take a [`RequestBody`], such as hyper's clients: it allocates
    /// nothing. The layer for tonic's `Channel`, which takes only tonic's own body, has to box
    /// the request body once per call.
    pub fn unboxed(&self) -> UnboxedClientLayer {
        UnboxedClientLayer {
            metrics: self.metrics,
        }
    }
}

#[cfg(feature = "tonic")]
impl<S> Layer<S> for ClientLayer {
    type Service = MeteredChannel<S>;

    fn layer(&self, inner: S) -> MeteredChannel<S> {
        MeteredChannel {
            inner,
            metrics: self.metrics,
        }
    }
}

// === impl UnboxedClientLayer ===

impl<S> Layer<S> for UnboxedClientLayer {
    type Service = Metered<S>;

    fn layer(&self, inner: S) -> Metered<S> {
        Metered {
            inner,
            metrics: self.metrics,
            resolve: None,
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

    fn call(&mut self, request: Request<ReqB>) -> Self::Future {
        let call = self.metrics.start(&request, self.resolve);
        let open = Open::new(call);
        let (head, body) = request.into_parts();
        let request = Request::from_parts(head, RequestBody::new(body, call));
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

    fn call(&mut self, request: Request<ReqB>) -> Self::Future {
        let call = self.metrics.start(&request, None);
        let open = Open::new(call);
        let body = |body| tonic::body::Body::new(RequestBody::new(body, call));
        let request = request.map(body);
        ResponseFuture::new(self.inner.call(request), open)
    }
}
