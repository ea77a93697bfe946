//! The methods that a gRPC port serves, by request path.
//!
//! The listener resolves the path once per request. Every layer below reads the result from the
//! request's [`RequestInfo`](crate::request::RequestInfo).

use std::collections::HashMap;
use std::convert::Infallible;
use std::fmt;
use std::sync::Arc;

use foldhash::fast::FixedState;
use futures_util::future::BoxFuture;
use grpc_prometheus::MethodHandle;
use http::{Request, Response, Uri};
use tonic::body::Body;

/// The response future of a generated tonic server.
pub type Answer = BoxFuture<'static, Result<Response<Body>, Infallible>>;

pub(crate) type Handler = Arc<dyn Fn(Request<Body>) -> Answer + Send + Sync>;

/// The methods of one port. Empty for a port without gRPC.
#[derive(Debug, Default)]
pub struct Methods {
    // A fixed hash is safe: clients cannot add keys.
    by_path: HashMap<Arc<str>, Arc<Method>, FixedState>,
}

/// One method and what a call to it needs.
pub(crate) struct Method {
    /// `/package.Service/Method`, as the client spells it.
    pub(crate) path: Arc<str>,
    pub(crate) kind: MethodKind,
    /// Its series; `None` counts as `unknown`.
    pub(crate) metrics: Option<MethodHandle>,
    /// Whether calls bypass the concurrency limit.
    pub(crate) unlimited: bool,
    pub(crate) handler: Handler,
    /// The path that the handler expects, if `path` is a legacy name.
    pub(crate) rewritten: Option<Uri>,
}

/// Which timeout bounds a method's calls.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum MethodKind {
    Unary,
    /// Client, server or bidirectional streaming.
    Streaming,
}

// === impl Methods ===

impl Methods {
    pub(crate) fn insert(&mut self, method: Method) {
        let method = Arc::new(method);
        self.by_path.insert(Arc::clone(&method.path), method);
    }

    /// The method with this path.
    pub(crate) fn find(&self, path: &str) -> Option<&Arc<Method>> {
        self.by_path.get(path)
    }
}

// === impl Method ===

impl Method {
    /// Calls the handler, under the path that it expects.
    pub(crate) fn call(&self, mut request: Request<Body>) -> Answer {
        if let Some(uri) = &self.rewritten {
            *request.uri_mut() = uri.clone();
        }
        (self.handler)(request)
    }
}

impl fmt::Debug for Method {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Method")
            .field("path", &self.path)
            .field("kind", &self.kind)
            .finish_non_exhaustive()
    }
}

// === impl MethodKind ===

impl MethodKind {
    pub(crate) const fn new(client_streams: bool, server_streams: bool) -> Self {
        match client_streams || server_streams {
            true => Self::Streaming,
            false => Self::Unary,
        }
    }
}
