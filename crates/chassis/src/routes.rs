//! From a request's path to the service that answers it.

use std::collections::HashMap;
use std::convert::Infallible;
use std::sync::Arc;
use std::task::{Context, Poll};

use futures_util::future::BoxFuture;
use http::uri::Uri;
use http::{Request, Response};
use tonic::Status;
use tonic::body::Body;
use tonic::server::NamedService;
use tower::Service;

use crate::alias::Alias;

/// What a generated tonic server answers.
pub type Answer = BoxFuture<'static, Result<Response<Body>, Infallible>>;

type Handler = Arc<dyn Fn(Request<Body>) -> Answer + Send + Sync>;

/// What answers each path of one service under an old name, and under which path.
type Renamed = HashMap<String, (Uri, Handler)>;

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
    renamed: HashMap<&'static str, Renamed>,
}

/// An old name leads to a service that has no handler.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("{old} is answered by {new}, which was never given to Assembly::serve")]
pub(crate) struct NoHandler {
    old: String,
    new: &'static str,
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
        self.handlers.insert(S::NAME, Arc::new(handler));
    }

    /// Lets an old name lead to a service that was added before.
    pub(crate) fn add_alias(&mut self, alias: Alias) -> Result<(), NoHandler> {
        let Some(handler) = self.handlers.get(alias.service) else {
            return Err(NoHandler {
                old: alias.old_path,
                new: alias.service,
            });
        };
        let renamed = self.renamed.entry(alias.old_service).or_default();
        renamed.insert(alias.old_path, (alias.uri, Arc::clone(handler)));
        Ok(())
    }

    pub(crate) fn routes(mut self) -> Routes {
        for (service, paths) in self.renamed {
            // A generated server looks at the whole path. The layers around have seen the old one.
            let handler = move |mut request: Request<Body>| match paths.get(request.uri().path()) {
                Some((uri, handler)) => {
                    *request.uri_mut() = uri.clone();
                    handler(request)
                }
                None => unimplemented("no such method; reflection lists them"),
            };
            self.handlers.insert(service, Arc::new(handler));
        }
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
            None => unimplemented("no such service; reflection lists them"),
        }
    }
}

fn unimplemented(message: &'static str) -> Answer {
    Box::pin(async move { Ok(Status::unimplemented(message).into_http()) })
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;
    use tower::ServiceExt;

    use super::*;

    /// The gRPC status of a call without a message.
    async fn status(routes: &Routes, path: &str) -> HeaderValue {
        let request = Request::post(path).body(Body::empty()).unwrap();
        let response = routes.clone().oneshot(request).await.unwrap();
        response.headers()["grpc-status"].clone()
    }

    fn check_is_called(old_path: &str) -> Alias {
        Alias {
            old_service: "old.Health",
            old_path: old_path.to_owned(),
            service: "grpc.health.v1.Health",
            uri: Uri::from_static("/grpc.health.v1.Health/Check"),
        }
    }

    #[tokio::test]
    async fn an_old_path_leads_to_the_method_that_answers_it() {
        let mut builder = RoutesBuilder::default();
        builder.add_service(tonic_health::server::health_reporter().1);
        builder
            .add_alias(check_is_called("/old.Health/Look"))
            .unwrap();
        let routes = builder.routes();
        assert_eq!(status(&routes, "/old.Health/Look").await, "13");
        assert_eq!(status(&routes, "/grpc.health.v1.Health/Check").await, "13");
        for unknown in ["/old.Health/Check", "/old.Health", "/old/Look"] {
            assert_eq!(status(&routes, unknown).await, "12", "{unknown}");
        }
    }

    #[test]
    fn an_old_name_of_a_service_that_is_not_there_is_refused() {
        let alias = check_is_called("/old.Health/Look");
        let refused = RoutesBuilder::default().add_alias(alias).unwrap_err();
        assert_eq!(
            refused.to_string(),
            "/old.Health/Look is answered by grpc.health.v1.Health, which was never given to \
             Assembly::serve"
        );
    }

    #[tokio::test]
    async fn a_path_leads_to_its_service_or_is_unimplemented() {
        let mut builder = RoutesBuilder::default();
        builder.add_service(tonic_health::server::health_reporter().1);
        let routes = builder.routes();
        // The service's own answers: no message, and no such method.
        assert_eq!(status(&routes, "/grpc.health.v1.Health/Check").await, "13");
        assert_eq!(status(&routes, "/grpc.health.v1.Health/Nope").await, "12");
        for unknown in ["/", "/grpc.health.v1.Health", "/no.Such/Check", "/a/b/c"] {
            assert_eq!(status(&routes, unknown).await, "12", "{unknown}");
        }
    }
}
