//! The state of one shared connection: closed, connecting, open, or backing off.
//!
//! hyper-util's `client::pool::Singleton` shares one connection too, but it aborts the attempt when
//! the last waiting caller gives up and retries at once after a failure. Here an attempt survives
//! its callers (whose deadlines may be shorter than a handshake), and failures back off.

use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures_util::FutureExt;
use futures_util::future::{BoxFuture, Shared};
use http::Uri;
use http::uri::{Authority, Scheme};
use hyper::client::conn::http2::{Builder, SendRequest};
use hyper_util::rt::{TokioExecutor, TokioTimer};
use tokio::time::Instant;
use tonic::Status;
use tonic::body::Body;
use tower::ServiceExt;

use crate::failure::root_cause;
use crate::transport::Connect;

const CONNECT_TIMEOUT: Duration = Duration::from_secs(1);
const KEEP_ALIVE_INTERVAL: Duration = Duration::from_secs(5);
const KEEP_ALIVE_TIMEOUT: Duration = Duration::from_secs(2);
const STREAM_WINDOW: u32 = 256 << 10;
const CONNECTION_WINDOW: u32 = 1 << 20;
const MAX_HEADER_LIST: u32 = 16 << 10;
/// The delay after the first failed attempt, and the longest delay.
const BACKOFF: (Duration, Duration) = (Duration::from_millis(50), Duration::from_secs(1));

/// One origin and the connection to it. The lock is never held across an await.
pub(crate) struct Link<C> {
    authority: Authority,
    connector: C,
    state: Mutex<State>,
}

enum State {
    /// Never connected.
    Idle,
    /// One attempt, shared by all waiting callers. It continues when they give up.
    Connecting(Attempt),
    Open(SendRequest<Body>),
    /// The last attempt failed; the next one starts after `until`.
    Failed {
        until: Instant,
        failures: u32,
        reason: Arc<str>,
    },
}

/// The source of the status of calls to an origin that cannot be reached: the system's reason.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
struct Unreachable(Arc<str>);

type Attempt = Shared<BoxFuture<'static, Result<SendRequest<Body>, Arc<str>>>>;

// === impl Link ===

impl<C: Connect> Link<C> {
    pub(crate) const fn new(authority: Authority, connector: C) -> Self {
        Self {
            authority,
            connector,
            state: Mutex::new(State::Idle),
        }
    }

    pub(crate) const fn authority(&self) -> &Authority {
        &self.authority
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The open connection, or the one that the current attempt opens.
    pub(crate) async fn sender(self: &Arc<Self>) -> Result<SendRequest<Body>, Status> {
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

    #[cfg(test)]
    pub(crate) fn failures(&self) -> u32 {
        self.state().failures()
    }

    fn unreachable(&self, reason: &Arc<str>) -> Status {
        let message = format!("cannot connect to {}: {reason}", self.authority);
        let mut status = Status::unavailable(message);
        status.set_source(Arc::new(Unreachable(Arc::clone(reason))));
        status
    }

    /// Starts to connect, in a task that ends by [`CONNECT_TIMEOUT`].
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
        let origin = origin.map_err(|error| Arc::from(root_cause(&error)))?;
        let io = self.connector.clone().oneshot(origin).await;
        let io = io.map_err(|error| root_cause(&*error.into()))?;
        let (sender, connection) = Builder::new(TokioExecutor::new())
            .timer(TokioTimer::new())
            .initial_stream_window_size(STREAM_WINDOW)
            .initial_connection_window_size(CONNECTION_WINDOW)
            .max_header_list_size(MAX_HEADER_LIST)
            .keep_alive_interval(KEEP_ALIVE_INTERVAL)
            .keep_alive_timeout(KEEP_ALIVE_TIMEOUT)
            .keep_alive_while_idle(true)
            .handshake(io)
            .await
            .map_err(|error| root_cause(&error))?;
        // Ends when the peer closes the connection or the last sender is dropped.
        tokio::spawn(async move {
            if let Err(error) = connection.await {
                tracing::debug!(%error, "connection to an upstream closed");
            }
        });
        Ok(sender)
    }
}

impl<C: Connect> fmt::Debug for Link<C> {
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
            Self::Failed { failures, .. } => *failures,
            Self::Idle | Self::Connecting(_) | Self::Open(_) => 0,
        }
    }
}

/// Doubles with each failure. Jitter takes off up to a fifth, so that callers spread.
fn backoff(failures: u32) -> Duration {
    let (first, most) = BACKOFF;
    let full = first.saturating_mul(1 << failures.min(10)).min(most);
    full.mul_f64(1.0 - 0.2 * fastrand::f64())
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
}
