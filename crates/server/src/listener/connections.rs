//! The open connections of a port, and their drain.

use std::collections::HashMap;
use std::future::Future;

use tokio::sync::oneshot;
use tokio::task::{Id, JoinSet};

/// The open connections, each with its own drain signal. A shared signal would be a lock that every
/// connection takes at each wake-up.
#[derive(Debug, Default)]
pub(super) struct Connections {
    tasks: JoinSet<()>,
    drains: HashMap<Id, oneshot::Sender<()>>,
}

/// Resolves when the connection must drain.
pub(super) type Drain = oneshot::Receiver<()>;

// === impl Connections ===

impl Connections {
    pub(super) fn spawn<F: Future<Output = ()> + Send + 'static>(
        &mut self,
        connection: impl FnOnce(Drain) -> F,
    ) {
        let (drain, drained) = oneshot::channel();
        let task = self.tasks.spawn(connection(drained));
        self.drains.insert(task.id(), drain);
    }

    /// Removes the next connection that closes.
    pub(super) async fn ended(&mut self) {
        match self.tasks.join_next_with_id().await {
            Some(Ok((id, ()))) => self.drains.remove(&id),
            Some(Err(error)) => self.drains.remove(&error.id()),
            None => std::future::pending().await,
        };
    }

    /// Drains every connection and waits until the last one has closed.
    pub(super) async fn drain(&mut self) {
        self.drains.clear();
        while self.tasks.join_next().await.is_some() {}
    }
}
