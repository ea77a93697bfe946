//! The client, shared by many callers.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use tokio::sync::watch;
use tokio::time::{Instant, timeout_at};
use tonic::Status;

use crate::multiplexer::Multiplexer;
use crate::{Protocol, Settings, Stats};

/// A client whose callers share one bidirectional stream. Clones share it, too.
///
/// Dropping the last clone ends the requests; the stream is cancelled where the server does not end
/// it within 1 s.
pub struct Matched<P: Protocol> {
    multiplexer: Arc<Multiplexer<P>>,
    /// Dropped with the last clone, which ends the stream's requests.
    alive: Arc<watch::Sender<()>>,
}

/// A call in flight. It holds a slot until it ends or is dropped.
struct Call<'a, P: Protocol> {
    multiplexer: &'a Multiplexer<P>,
    id: u64,
}

// === impl Matched ===

impl<P: Protocol> Matched<P> {
    /// The first call opens the first stream.
    pub fn new(protocol: P, settings: Settings) -> Self {
        Self {
            multiplexer: Arc::new(Multiplexer::new(protocol, settings)),
            alive: Arc::new(watch::Sender::new(())),
        }
    }

    /// Sends a request and returns its response, within [`Settings::timeout`].
    ///
    /// # Errors
    ///
    /// Those of the table in the crate's documentation.
    ///
    /// # Panics
    ///
    /// Outside of a tokio runtime with its timer.
    pub async fn call(&self, request: P::Request) -> Result<P::Response, Status> {
        let deadline = Instant::now() + self.multiplexer.settings().timeout;
        self.call_until(request, deadline).await
    }

    /// Sends a request and returns its response, until `deadline`. Sends nothing after it.
    ///
    /// # Errors
    ///
    /// Those of the table in the crate's documentation.
    ///
    /// # Panics
    ///
    /// Outside of a tokio runtime with its timer.
    pub async fn call_until(
        &self,
        request: P::Request,
        deadline: Instant,
    ) -> Result<P::Response, Status> {
        let late = |message| Status::deadline_exceeded(message);
        let permit = timeout_at(deadline, self.multiplexer.permits().acquire()).await;
        // Held until the call has freed its slot: locals are dropped in reverse order.
        let _permit = permit.map_err(|_| late("too many calls in flight until the deadline"))?;
        if deadline <= Instant::now() {
            return Err(late("the deadline passed before the call began"));
        }
        let id = self.multiplexer.begin(request, &self.alive)?;
        let call = Call {
            multiplexer: &self.multiplexer,
            id,
        };
        let response = timeout_at(deadline, call).await;
        P::result(response.map_err(|_| late("no response before the deadline"))??)
    }

    /// Ends the stream in order and waits until the server has ended it too, for one second at most.
    ///
    /// Without it, a program that exits cancels its stream: the server counts CANCELLED. Where other
    /// clones exist, this one is only dropped: the last one ends the stream.
    pub async fn close(self) {
        let Some(alive) = Arc::into_inner(self.alive) else {
            return;
        };
        alive.send_replace(());
        alive.closed().await;
    }

    /// The statistics so far.
    pub fn stats(&self) -> Stats {
        self.multiplexer.stats()
    }
}

impl<P: Protocol> Clone for Matched<P> {
    fn clone(&self) -> Self {
        Self {
            multiplexer: Arc::clone(&self.multiplexer),
            alive: Arc::clone(&self.alive),
        }
    }
}

impl<P: Protocol> fmt::Debug for Matched<P> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Matched")
            .field("settings", self.multiplexer.settings())
            .field("stats", &self.stats())
            .finish_non_exhaustive()
    }
}

// === impl Call ===

impl<P: Protocol> Future for Call<'_, P> {
    type Output = Result<P::Response, Status>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        self.multiplexer.poll_response(self.id, cx)
    }
}

impl<P: Protocol> Drop for Call<'_, P> {
    fn drop(&mut self) {
        self.multiplexer.cancel(self.id);
    }
}
