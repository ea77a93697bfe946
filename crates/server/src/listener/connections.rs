//! The open connections of a port, and their shutdown.

use std::collections::HashMap;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use tokio::sync::oneshot;
use tokio::task::{Id, JoinSet};

/// The open connections, each with its own signals. A shared signal would be a lock that every
/// connection takes at each wake-up.
#[derive(Debug, Default)]
pub(super) struct Connections {
    tasks: JoinSet<()>,
    senders: HashMap<Id, Senders>,
}

#[derive(Debug)]
struct Senders {
    lame_duck: Option<oneshot::Sender<()>>,
    _drain: oneshot::Sender<()>,
}

/// The shutdown signals of one connection.
#[derive(Debug)]
pub(super) struct Signals {
    /// Clients must use other connections for new requests. Never resolves before the drain if the
    /// connection was accepted during the lame duck.
    pub(super) lame_duck: Signal,
    /// The connection must close after its requests in progress.
    pub(super) drain: Signal,
}

/// Resolves once its sender is dropped, and then at each poll.
#[derive(Debug)]
pub(super) struct Signal(Option<oneshot::Receiver<()>>);

// === impl Connections ===

impl Connections {
    pub(super) fn spawn<F: Future<Output = ()> + Send + 'static>(
        &mut self,
        connection: impl FnOnce(Signals) -> F,
    ) {
        let (lame_duck_sender, lame_duck) = oneshot::channel();
        let (drain_sender, drain) = oneshot::channel();
        let task = self.tasks.spawn(connection(Signals {
            lame_duck: Signal(Some(lame_duck)),
            drain: Signal(Some(drain)),
        }));
        let senders = Senders {
            lame_duck: Some(lame_duck_sender),
            _drain: drain_sender,
        };
        self.senders.insert(task.id(), senders);
    }

    /// Removes the next connection that closes.
    pub(super) async fn ended(&mut self) {
        match self.tasks.join_next_with_id().await {
            Some(Ok((id, ()))) => self.senders.remove(&id),
            Some(Err(error)) => self.senders.remove(&error.id()),
            None => std::future::pending().await,
        };
    }

    /// Signals the lame duck to the connections that are open now.
    pub(super) fn begin_lame_duck(&mut self) {
        for senders in self.senders.values_mut() {
            senders.lame_duck = None;
        }
    }

    /// Drains every connection and waits until the last one has closed.
    pub(super) async fn drain(&mut self) {
        self.senders.clear();
        while self.tasks.join_next().await.is_some() {}
    }
}

// === impl Signal ===

impl Future for Signal {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        if let Some(receiver) = &mut self.0 {
            let _ = ready!(Pin::new(receiver).poll(cx));
            self.0 = None;
        }
        Poll::Ready(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_signal_that_has_resolved_resolves_again() {
        let (sender, receiver) = oneshot::channel();
        let mut signal = Signal(Some(receiver));
        assert!(futures_util::poll!(&mut signal).is_pending());
        drop(sender);
        for _ in 0..3 {
            assert!(futures_util::poll!(&mut signal).is_ready());
        }
    }
}
