//! The transport: a tower service over one shared HTTP/2 connection.

use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use http::uri::{Authority, PathAndQuery, Scheme};
use http::{HeaderValue, Request, Response, Uri, header::USER_AGENT};
use hyper::rt::{Read, Write};
use hyper_util::client::legacy::connect::HttpConnector;
use tonic::Status;
use tonic::body::Body;
use tower::{BoxError, Service};

use crate::body::ResponseBody;
use crate::failure::status;
use crate::link::Link;

/// How long sent bytes may stay unacknowledged before the kernel closes the connection.
const TCP_USER_TIMEOUT: Duration = Duration::from_secs(10);
const AGENT: HeaderValue =
    HeaderValue::from_static(concat!("vitalmesh/", env!("CARGO_PKG_VERSION")));

/// Opens the byte stream that carries a connection, such as a TCP or a TLS stream.
///
/// Implemented for every tower service from [`Uri`] to an IO.
pub trait Connect:
    Service<Uri, Response = Self::Io, Error: Into<BoxError>, Future: Send>
    + Clone
    + Send
    + Sync
    + 'static
{
    /// The byte stream.
    type Io: Read + Write + Unpin + Send + 'static;
}

/// Sends requests to one origin over one HTTP/2 connection, which clones share.
///
/// Connects at the first request and again after the connection is lost. A request that the lost
/// connection had not sent is sent again once. While the origin is unreachable, requests fail at
/// once with UNAVAILABLE, and the transport retries after 50 ms to 1 s.
#[derive(Debug)]
pub struct Transport<C: Connect = HttpConnector> {
    link: Arc<Link<C>>,
}

// === impl Connect ===

impl<C, IO> Connect for C
where
    C: Service<Uri, Response = IO, Error: Into<BoxError>, Future: Send>
        + Clone
        + Send
        + Sync
        + 'static,
    IO: Read + Write + Unpin + Send + 'static,
{
    type Io = IO;
}

// === impl Transport ===

impl Transport {
    /// A transport over TCP to the authority of `uri`.
    pub fn new(uri: Uri) -> Self {
        let mut connector = HttpConnector::new();
        connector.enforce_http(false);
        connector.set_nodelay(true);
        connector.set_tcp_user_timeout(Some(TCP_USER_TIMEOUT));
        Self::with_connector(uri, connector)
    }
}

impl<C: Connect> Transport<C> {
    /// A transport to the authority of `uri` over the IO that `connector` opens. A URI without an
    /// authority means `localhost`.
    pub fn with_connector(uri: Uri, connector: C) -> Self {
        let localhost = || Authority::from_static("localhost");
        let authority = uri.into_parts().authority.unwrap_or_else(localhost);
        Self {
            link: Arc::new(Link::new(authority, connector)),
        }
    }

    /// Connects now, if no connection is open, instead of at the first request.
    ///
    /// # Errors
    ///
    /// UNAVAILABLE if the origin cannot be reached; the innermost source is the system's reason.
    pub async fn connect(&self) -> Result<(), Status> {
        self.link.sender().await.map(drop)
    }

    /// Completes the request's URI and adds `user-agent` if it is missing.
    fn address(&self, request: &mut Request<Body>) {
        let mut parts = std::mem::take(request.uri_mut()).into_parts();
        parts.scheme = Some(Scheme::HTTP);
        parts.authority = Some(self.link.authority().clone());
        let root = || PathAndQuery::from_static("/");
        parts.path_and_query = Some(parts.path_and_query.unwrap_or_else(root));
        // Cannot fail: all three parts are present.
        *request.uri_mut() = Uri::from_parts(parts).unwrap_or_default();
        request.headers_mut().entry(USER_AGENT).or_insert(AGENT);
    }
}

impl<C: Connect> Clone for Transport<C> {
    fn clone(&self) -> Self {
        Self {
            link: Arc::clone(&self.link),
        }
    }
}

impl<C: Connect> Service<Request<Body>> for Transport<C> {
    type Response = Response<ResponseBody>;
    type Error = Status;
    type Future = BoxFuture<'static, Result<Response<ResponseBody>, Status>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, mut request: Request<Body>) -> Self::Future {
        self.address(&mut request);
        let link = Arc::clone(&self.link);
        async move {
            let mut sender = link.sender().await?;
            let response = match sender.try_send_request(request).await {
                Ok(response) => response,
                Err(mut failed) => match failed.take_message() {
                    // The connection closed before it sent the request: the peer never saw it.
                    Some(unsent) => {
                        let mut sender = link.sender().await?;
                        let response = sender.send_request(unsent).await;
                        response.map_err(|error| status(&error))?
                    }
                    None => return Err(status(&failed.into_error())),
                },
            };
            Ok(response.map(ResponseBody::new))
        }
        .boxed()
    }
}

#[cfg(test)]
mod tests {
    use tonic::Code;
    use tower::ServiceExt;

    use super::*;
    use crate::failure::root_cause;

    #[tokio::test]
    async fn a_hundred_requests_to_a_closed_port_share_one_attempt_and_its_error() {
        let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let address = free.local_addr().unwrap();
        drop(free);
        let transport = Transport::new(format!("http://{address}").parse().unwrap());
        let calls = (0..100).map(|_| transport.clone().oneshot(Request::new(Body::empty())));
        for answer in futures_util::future::join_all(calls).await {
            let status = answer.unwrap_err();
            assert_eq!(status.code(), Code::Unavailable);
            let message = status.message();
            assert!(message.contains("refused"), "{message}");
            assert!(message.contains(&address.to_string()), "{message}");
        }
        assert_eq!(transport.link.failures(), 1);
    }

    #[tokio::test]
    async fn connect_opens_the_connection_or_names_the_systems_reason() {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let uri: Uri = format!("http://{}", listener.local_addr().unwrap())
            .parse()
            .unwrap();
        let (connected, accepted) = {
            let transport = Transport::new(uri.clone());
            tokio::join!(transport.connect(), listener.accept())
        };
        assert!(connected.is_ok() && accepted.is_ok());
        drop(listener);
        let status = Transport::new(uri).connect().await.unwrap_err();
        assert_eq!(status.code(), Code::Unavailable);
        assert!(root_cause(&status).starts_with("Connection refused"));
    }
}
