//! The queue before the one task that writes, which takes a batch at a time.
//!
//! A panic in the writer costs its batch alone: whoever waits for it is told, what was not
//! committed is rolled back, and the next batch is written on a new connection.

use std::panic::AssertUnwindSafe;
use std::sync::{Mutex, PoisonError};

use futures_util::FutureExt;
use tokio::sync::mpsc::error::TrySendError;
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinHandle;

use crate::session::Session;

/// Commands that may wait.
pub const MOST_WAITING: usize = 1024;
const BATCH: usize = 256;

/// What a store's writer does.
pub trait Write: Send + 'static {
    /// What it is asked, with where it answers.
    type Command: Send + 'static;

    /// Does what a batch of commands asks for, and answers each.
    fn write(
        &mut self,
        batch: Vec<Self::Command>,
        session: &mut Session,
    ) -> impl Future<Output = ()> + Send;
}

/// The way to the writer. Dropped, the writer ends after what is waiting.
#[derive(Debug)]
pub struct Queue<C> {
    orders: mpsc::Sender<Order<C>>,
    writer: Mutex<Option<JoinHandle<()>>>,
}

/// Why a command was not answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NoAnswer {
    /// It was not taken: too many wait.
    #[error("{MOST_WAITING} commands are waiting")]
    Full,
    /// It was not taken: the store is closed.
    #[error("the store is closed")]
    Closed,
    /// The writer panicked over its batch. Whether that was committed is not known.
    #[error("the writer panicked")]
    Panicked,
}

#[derive(Debug)]
enum Order<C> {
    Do(C),
    Close,
}

// === impl Queue ===

impl<C: Send + 'static> Queue<C> {
    /// Starts a task with `writer`, and writes through `session`.
    pub fn start(writer: impl Write<Command = C>, session: Session) -> Self {
        let (orders, received) = mpsc::channel(MOST_WAITING);
        let writer = tokio::spawn(obey(writer, session, received));
        Self {
            orders,
            writer: Mutex::new(Some(writer)),
        }
    }

    /// The answer to a command; it is carried out also if nobody waits for it any more.
    ///
    /// # Errors
    ///
    /// [`NoAnswer::Full`] where [`MOST_WAITING`] wait already, and what [`Self::ask`] says.
    pub async fn try_ask<T>(
        &self,
        command: impl FnOnce(oneshot::Sender<T>) -> C,
    ) -> Result<T, NoAnswer> {
        let (waiter, answer) = oneshot::channel();
        self.orders.try_send(Order::Do(command(waiter)))?;
        answer.await.map_err(|_| NoAnswer::Panicked)
    }

    /// As [`Self::try_ask`], but waits for room.
    ///
    /// # Errors
    ///
    /// [`NoAnswer::Closed`] after [`Self::close`], [`NoAnswer::Panicked`] where the writer did.
    pub async fn ask<T>(
        &self,
        command: impl FnOnce(oneshot::Sender<T>) -> C,
    ) -> Result<T, NoAnswer> {
        let (waiter, answer) = oneshot::channel();
        let sent = self.orders.send(Order::Do(command(waiter))).await;
        sent.map_err(|_| NoAnswer::Closed)?;
        answer.await.map_err(|_| NoAnswer::Panicked)
    }

    /// Writes what is waiting, refuses what comes later, and closes the file.
    pub async fn close(&self) {
        // An error says that the writer has ended already.
        let _ = self.orders.send(Order::Close).await;
        let writer = self.writer.lock();
        let writer = writer.unwrap_or_else(PoisonError::into_inner).take();
        if let Some(writer) = writer
            && let Err(error) = writer.await
        {
            tracing::error!(%error, "a store's writer did not end well");
        }
    }
}

// === impl NoAnswer ===

impl<T> From<TrySendError<T>> for NoAnswer {
    fn from(refused: TrySendError<T>) -> Self {
        match refused {
            TrySendError::Full(_) => Self::Full,
            TrySendError::Closed(_) => Self::Closed,
        }
    }
}

async fn obey<W: Write>(
    mut writer: W,
    mut session: Session,
    mut received: mpsc::Receiver<Order<W::Command>>,
) {
    let mut orders = Vec::with_capacity(BATCH);
    while received.recv_many(&mut orders, BATCH).await > 0 {
        let mut batch = Vec::with_capacity(orders.len());
        for order in orders.drain(..) {
            match order {
                Order::Do(command) => batch.push(command),
                Order::Close => received.close(),
            }
        }
        // What a writer keeps from batch to batch, it changes after a commit.
        let written = AssertUnwindSafe(writer.write(batch, &mut session)).catch_unwind();
        if written.await.is_err() {
            session.panicked();
        }
    }
    session.close().await;
}
