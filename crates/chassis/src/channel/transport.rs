//! One HTTP/2 connection to one service, made when it is needed and made again when it is lost.

use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use futures_util::FutureExt;
use futures_util::future::{BoxFuture, Shared};
use http::header::USER_AGENT;
use http::uri::{Authority, PathAndQuery, Scheme};
use http::{HeaderValue, Request, Response, Uri};
use hyper::body::Incoming;
use hyper::client::conn::http2::{Builder, SendRequest};
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::{TokioExecutor, TokioTimer};
use tokio::time::Instant;
use tonic::body::Body;
use tonic::{Code, Status};
use tower::{Service, ServiceExt};

const CONNECT_TIMEOUT: Duration = Duration::from_secs(1);
const KEEP_ALIVE_INTERVAL: Duration = Duration::from_secs(5);
const KEEP_ALIVE_TIMEOUT: Duration = Duration::from_secs(2);
/// How long sent bytes may stay unacknowledged before the kernel gives the connection up.
const TCP_USER_TIMEOUT: Duration = Duration::from_secs(10);
const STREAM_WINDOW: u32 = 256 << 10;
const CONNECTION_WINDOW: u32 = 1 << 20;
const MAX_HEADER_LIST: u32 = 16 << 10;
/// How long to leave a service alone after the first failed connect, and after many.
const BACKOFF: (Duration, Duration) = (Duration::from_millis(50), Duration::from_secs(1));
const AGENT: HeaderValue =
    HeaderValue::from_static(concat!("vitalmesh/", env!("CARGO_PKG_VERSION")));

/// Sends requests to one origin. Clones share the connection.
#[derive(Clone, Debug)]
pub(crate) struct Transport {
    shared: Arc<Link>,
}

/// What the clones share. The lock is held for a look or a change, never for a wait.
struct Link {
    authority: Authority,
    connector: HttpConnector,
    state: Mutex<State>,
}

enum State {
    /// Not connected, and no reason to wait.
    Idle {
        failures: u32,
    },
    /// One attempt for all who wait for it; it goes on when they give up.
    Connecting(Attempt),
    Open(SendRequest<Body>),
    /// The service could not be reached; it is not asked again before `until`.
    Failed {
        until: Instant,
        failures: u32,
        reason: Arc<str>,
    },
}

type Attempt = Shared<BoxFuture<'static, Result<SendRequest<Body>, Arc<str>>>>;

// === impl Transport ===

impl Transport {
    pub(crate) fn new(uri: Uri) -> Self {
        let mut connector = HttpConnector::new();
        connector.enforce_http(false);
        connector.set_nodelay(true);
        connector.set_tcp_user_timeout(Some(TCP_USER_TIMEOUT));
        let unset = || Authority::from_static("localhost");
        Self {
            shared: Arc::new(Link {
                authority: uri.into_parts().authority.unwrap_or_else(unset),
                connector,
                state: Mutex::new(State::Idle { failures: 0 }),
            }),
        }
    }
}

impl Service<Request<Body>> for Transport {
    type Response = Response<Incoming>;
    type Error = Status;
    type Future = BoxFuture<'static, Result<Response<Incoming>, Status>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, mut request: Request<Body>) -> Self::Future {
        let link = Arc::clone(&self.shared);
        link.address(&mut request);
        async move {
            let mut sender = link.sender().await?;
            match sender.try_send_request(request).await {
                Ok(response) => Ok(response),
                Err(mut failed) => match failed.take_message() {
                    // The connection ended before it took the request: nobody has seen it.
                    Some(unsent) => {
                        let mut sender = link.sender().await?;
                        sender.send_request(unsent).await.map_err(status)
                    }
                    None => Err(status(failed.into_error())),
                },
            }
        }
        .boxed()
    }
}

// === impl Link ===

impl Link {
    fn address(&self, request: &mut Request<Body>) {
        let mut parts = std::mem::take(request.uri_mut()).into_parts();
        parts.scheme = Some(Scheme::HTTP);
        parts.authority = Some(self.authority.clone());
        let root = || PathAndQuery::from_static("/");
        parts.path_and_query = Some(parts.path_and_query.unwrap_or_else(root));
        // All three parts are there, which is all that can be wrong.
        *request.uri_mut() = Uri::from_parts(parts).unwrap_or_default();
        request.headers_mut().entry(USER_AGENT).or_insert(AGENT);
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The open connection, or the one that the running attempt will open.
    async fn sender(self: &Arc<Self>) -> Result<SendRequest<Body>, Status> {
        let attempt = match &mut *self.state() {
            State::Open(sender) if !sender.is_closed() => return Ok(sender.clone()),
            State::Failed { until, reason, .. } if Instant::now() < *until => {
                return Err(self.unreachable(reason));
            }
            State::Connecting(attempt) => attempt.clone(),
            state => {
                let attempt = self.attempt(state.failures());
                *state = State::Connecting(attempt.clone());
                attempt
            }
        };
        attempt.await.map_err(|reason| self.unreachable(&reason))
    }

    fn unreachable(&self, reason: &str) -> Status {
        Status::unavailable(format!("cannot connect to {}: {reason}", self.authority))
    }

    /// Begins to connect. The attempt is a task of its own: it ends by its timeout.
    fn attempt(self: &Arc<Self>, failures: u32) -> Attempt {
        let link = Arc::clone(self);
        let task = tokio::spawn(async move {
            let connected = tokio::time::timeout(CONNECT_TIMEOUT, link.connect()).await;
            let connected = connected.unwrap_or_else(|_| Err("timed out".into()));
            *link.state() = match &connected {
                Ok(sender) => State::Open(sender.clone()),
                Err(reason) => State::Failed {
                    until: Instant::now() + backoff(failures),
                    failures: failures.saturating_add(1),
                    reason: Arc::clone(reason),
                },
            };
            connected
        });
        let joined = |joined: Result<_, _>| joined.unwrap_or_else(|_| Err("cancelled".into()));
        task.map(joined).boxed().shared()
    }

    async fn connect(&self) -> Result<SendRequest<Body>, Arc<str>> {
        let origin = Uri::builder()
            .scheme(Scheme::HTTP)
            .authority(self.authority.clone())
            .path_and_query("/")
            .build();
        let origin = origin.map_err(|error| text(&error))?;
        let io = self.connector.clone().oneshot(origin).await;
        let (sender, connection) = Builder::new(TokioExecutor::new())
            .timer(TokioTimer::new())
            .initial_stream_window_size(STREAM_WINDOW)
            .initial_connection_window_size(CONNECTION_WINDOW)
            .max_header_list_size(MAX_HEADER_LIST)
            .keep_alive_interval(KEEP_ALIVE_INTERVAL)
            .keep_alive_timeout(KEEP_ALIVE_TIMEOUT)
            .keep_alive_while_idle(true)
            .handshake(io.map_err(|error| text(&error))?)
            .await
            .map_err(|error| text(&error))?;
        // Ends with the connection: when the peer closes it, or the last sender is dropped.
        tokio::spawn(async move {
            if let Err(error) = connection.await {
                tracing::debug!(%error, "connection to a service ended");
            }
        });
        Ok(sender)
    }
}

impl fmt::Debug for Link {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Link")
            .field("authority", &self.authority)
            .finish_non_exhaustive()
    }
}

// === impl State ===

impl State {
    const fn failures(&self) -> u32 {
        match self {
            Self::Idle { failures } | Self::Failed { failures, .. } => *failures,
            Self::Connecting(_) | Self::Open(_) => 0,
        }
    }
}

/// Doubles with each failure, with up to a fifth taken off so that callers spread.
fn backoff(failures: u32) -> Duration {
    let (first, most) = BACKOFF;
    let full = first.saturating_mul(1 << failures.min(10)).min(most);
    full.mul_f64(1.0 - 0.2 * fastrand::f64())
}

/// A call that a connection took with it was not cancelled by anybody: the service is gone.
fn status(error: hyper::Error) -> Status {
    let lost = error.is_canceled() || error.is_closed();
    let status = Status::from_error(Box::new(error));
    match status.code() {
        Code::Cancelled | Code::Unknown if lost => {
            Status::unavailable("the connection closed before the answer")
        }
        _ => status,
    }
}

fn text(error: &dyn std::error::Error) -> Arc<str> {
    let mut deepest = error;
    while let Some(source) = deepest.source() {
        deepest = source;
    }
    deepest.to_string().into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_backoff_grows_to_a_second_and_no_further() {
        let longest = |failures| (0..200).map(|_| backoff(failures)).max().unwrap();
        let shortest = |failures| (0..200).map(|_| backoff(failures)).min().unwrap();
        assert!(longest(0) <= Duration::from_millis(50));
        assert!(shortest(0) >= Duration::from_millis(40));
        for failures in [5, 31, u32::MAX] {
            assert!(longest(failures) <= Duration::from_secs(1));
            assert!(shortest(failures) >= Duration::from_millis(800));
        }
    }

    #[tokio::test]
    async fn a_hundred_calls_to_nobody_share_one_attempt_and_fail_with_its_reason() {
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
        let state = transport.shared.state();
        assert!(matches!(*state, State::Failed { failures: 1, .. }));
    }
}
