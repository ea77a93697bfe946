//! Calls the handler of the method that the listener resolved.

use std::convert::Infallible;
use std::task::{Context, Poll};

use http::{Request, Response};
use tonic::Status;
use tonic::body::Body;
use tower::Service;

use crate::methods::Answer;
use crate::request::RequestInfo;

/// The innermost service of the gRPC stack.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Router;

impl Service<Request<Body>> for Router {
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = Answer;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<Body>) -> Answer {
        let info = request.extensions().get::<RequestInfo>();
        match info.and_then(RequestInfo::method).cloned() {
            Some(method) => method.call(request),
            None => Box::pin(async { Ok(unimplemented().into_http()) }),
        }
    }
}

fn unimplemented() -> Status {
    Status::unimplemented("no such method; server reflection lists the methods")
}

#[cfg(test)]
mod tests {
    use tower::ServiceExt;

    use super::*;

    #[tokio::test]
    async fn a_request_that_addresses_no_method_is_unimplemented() {
        let request = Request::new(Body::empty());
        let response = Router.oneshot(request).await.unwrap();
        assert_eq!(response.headers()["grpc-status"], "12");
    }
}
