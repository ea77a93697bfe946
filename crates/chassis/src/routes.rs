//! From a request's path to the service that answers it.

use std::collections::HashMap;
use std::convert::Infallible;
use std::sync::Arc;
use std::task::{Context, Poll};

use futures_util::future::BoxFuture;
use http::{Request, Response};
use tonic::Status;
use tonic::body::Body;
use tonic::server::NamedService;
use tower::Service;

/// What a generated tonic server answers.
pub type Answer = BoxFuture<'static, Result<Response<Body>, Infallible>>;

type Handler = Box<dyn Fn(Request<Body>) -> Answer + Send + Sync>;

/// The services of one port by name. One look-up and no copy of a router a call, which is why
/// this is not `tonic::service::Routes`.
#[derive(Clone, Default)]
pub(crate) struct Routes {
    handlers: Arc<HashMap<&'static str, Handler>>,
}

/// Collects the services of one port.
#[derive(Default)]
pub(crate) struct RoutesBuilder {
    handlers: HashMap<&'static str, Handler>,
}

// === impl RoutesBuilder ===

impl RoutesBuilder {
    pub(crate) fn add_service<S>(&mut self, service: S)
    where
        S: Service<Request<Body>, Response = Response<Body>, Error = Infallible, Future = Answer>
            + NamedService
            + Clone
            + Send
            + Sync
            + 'static,
    {
        // Generated servers are always ready, and cheap to clone.
        let handler = move |request| service.clone().call(request);
        self.handlers.insert(S::NAME, Box::new(handler));
    }

    pub(crate) fn routes(self) -> Routes {
        Routes {
            handlers: Arc::new(self.handlers),
        }
    }
}

// === impl Routes ===

impl Service<Request<Body>> for Routes {
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = Answer;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<Body>) -> Answer {
        let path = request.uri().path();
        let service = path.strip_prefix('/').and_then(|path| path.split_once('/'));
        match service.and_then(|(service, _)| self.handlers.get(service)) {
            Some(handler) => handler(request),
            None => Box::pin(async {
                Ok(Status::unimplemented("no such service; reflection lists them").into_http())
            }),
        }
    }
}

#[cfg(test)]
mod tests {
    use tower::ServiceExt;

    use super::*;

    #[tokio::test]
    async fn a_path_leads_to_its_service_or_is_unimplemented() {
        let mut builder = RoutesBuilder::default();
        builder.add_service(tonic_health::server::health_reporter().1);
        let routes = builder.routes();
        let status = async |path: &str| {
            let request = Request::post(path).body(Body::empty()).unwrap();
            let response = routes.clone().oneshot(request).await.unwrap();
            response.headers()["grpc-status"].clone()
        };
        // The service's own answers: no message, and no such method.
        assert_eq!(status("/grpc.health.v1.Health/Check").await, "13");
        assert_eq!(status("/grpc.health.v1.Health/Nope").await, "12");
        for unknown in ["/", "/grpc.health.v1.Health", "/no.Such/Check", "/a/b/c"] {
            assert_eq!(status(unknown).await, "12", "{unknown}");
        }
    }
}
