//! The open connections of a port, and how they are told to end.

use std::collections::HashMap;
use std::future::Future;

use tokio::sync::oneshot;
use tokio::task::{Id, JoinSet};

/// The open connections, each with the way to tell it to end. One signal for all would be a
/// lock that each connection takes whenever it is woken.
#[derive(Debug, Default)]
pub(super) struct Connections {
    tasks: JoinSet<()>,
    drains: HashMap<Id, oneshot::Sender<()>>,
}

/// Resolves when the connection is to end.
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

    /// Forgets the next connection that ends.
    pub(super) async fn ended(&mut self) {
        match self.tasks.join_next_with_id().await {
            Some(Ok((id, ()))) => self.drains.remove(&id),
            Some(Err(error)) => self.drains.remove(&error.id()),
            None => std::future::pending().await,
        };
    }

    /// Tells every connection to end, and waits until the last one has.
    pub(super) async fn drain(&mut self) {
        self.drains.clear();
        while self.tasks.join_next().await.is_some() {}
    }
}
