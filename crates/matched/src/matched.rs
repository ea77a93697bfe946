//! The client: calls for many callers over one stream.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use tokio::sync::watch;
use tokio::time::{Instant, timeout_at};
use tonic::Status;

use crate::link::Link;
use crate::{Protocol, Settings, Stats};

/// Calls over one bidirectional stream, for many callers at once. Cheap to clone; see the crate's
/// documentation for what a call may end in.
///
/// When the last clone is dropped, the requests end, and the server has a second to end the
/// stream before it is cancelled.
pub struct Matched<P: Protocol> {
    link: Arc<Link<P>>,
    /// Tells the stream's task that somebody may still call.
    alive: Arc<watch::Sender<()>>,
}

/// A call that holds a slot, until it is answered or dropped.
struct Call<'a, P: Protocol> {
    link: &'a Link<P>,
    id: u64,
}

// === impl Matched ===

impl<P: Protocol> Matched<P> {
    /// Opens nothing yet: the first call does.
    pub fn new(protocol: P, settings: Settings) -> Self {
        Self {
            link: Arc::new(Link::new(protocol, settings)),
            alive: Arc::new(watch::Sender::new(())),
        }
    }

    /// Sends a request and gives its answer, within [`Settings::timeout`].
    ///
    /// # Errors
    ///
    /// See the table in the crate's documentation.
    ///
    /// # Panics
    ///
    /// Outside of a tokio runtime with its timer.
    pub async fn call(&self, request: P::Request) -> Result<P::Response, Status> {
        let deadline = Instant::now() + self.link.settings().timeout;
        self.call_until(request, deadline).await
    }

    /// Sends a request and gives its answer, until `deadline`. A call that comes too late is not
    /// begun.
    ///
    /// # Errors
    ///
    /// See the table in the crate's documentation.
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
        let room = timeout_at(deadline, self.link.room().acquire()).await;
        // Held until the call has left its slot: locals are dropped from the last to the first.
        let _room = room.map_err(|_| late("too many calls in flight until the deadline"))?;
        if deadline <= Instant::now() {
            return Err(late("the deadline passed before the call was begun"));
        }
        let id = self.link.begin(request, &self.alive)?;
        let call = Call {
            link: &self.link,
            id,
        };
        let answer = timeout_at(deadline, call).await;
        P::result(answer.map_err(|_| late("no answer came until the deadline"))??)
    }

    /// What has happened so far.
    pub fn stats(&self) -> Stats {
        self.link.stats()
    }
}

impl<P: Protocol> Clone for Matched<P> {
    fn clone(&self) -> Self {
        Self {
            link: Arc::clone(&self.link),
            alive: Arc::clone(&self.alive),
        }
    }
}

impl<P: Protocol> fmt::Debug for Matched<P> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Matched")
            .field("settings", self.link.settings())
            .field("stats", &self.stats())
            .finish_non_exhaustive()
    }
}

// === impl Call ===

impl<P: Protocol> Future for Call<'_, P> {
    type Output = Result<P::Response, Status>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        self.link.poll_answer(self.id, cx)
    }
}

impl<P: Protocol> Drop for Call<'_, P> {
    fn drop(&mut self) {
        self.link.leave(self.id);
    }
}
