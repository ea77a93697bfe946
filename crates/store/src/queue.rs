//! The bounded queue of commands that wait for the writer.

use std::error::Error;
use std::sync::{Arc, Mutex, PoisonError};

use sqlx::sqlite::SqliteConnection;
use tokio::sync::mpsc::error::TrySendError;
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinHandle;

use crate::Writer;
use crate::task::WriterTask;

/// Commands that the queue holds; more are rejected.
pub const QUEUE_CAPACITY: usize = 1024;

/// The callers' end of the writer's queue. When it is dropped, the writer applies what is queued
/// and ends.
#[derive(Debug)]
pub struct Queue<W: Writer> {
    messages: mpsc::Sender<Message<W>>,
    task: Mutex<Option<JoinHandle<()>>>,
}

/// Why a command has no response.
#[derive(Clone, Debug, thiserror::Error)]
pub enum SubmitError {
    /// The queue is full; the command was rejected.
    #[error("{QUEUE_CAPACITY} commands are queued")]
    Full,
    /// The queue is closed; the command was rejected.
    #[error("the store is closed")]
    Closed,
    /// The transaction failed and was rolled back.
    #[error("the transaction failed")]
    Failed(#[source] Arc<dyn Error + Send + Sync>),
    /// The writer panicked, or returned no response. Whether the command was committed is unknown.
    #[error("the writer panicked")]
    Panicked,
}

pub(crate) enum Message<W: Writer> {
    /// Shares a transaction with the others that wait.
    Shared(Request<W>),
    /// Has a transaction of its own.
    Alone(Request<W>),
    Close,
}

pub(crate) struct Request<W: Writer> {
    pub(crate) command: W::Command,
    pub(crate) responder: oneshot::Sender<Result<W::Response, SubmitError>>,
}

// === impl Queue ===

impl<W: Writer> Queue<W> {
    /// Spawns the task that runs `writer`, first over `connection`. `name` says in the logs whose
    /// writes fail or work again.
    ///
    /// # Panics
    ///
    /// Outside of a tokio runtime.
    pub fn start(name: &'static str, writer: W, connection: SqliteConnection) -> Self {
        let (messages, received) = mpsc::channel(QUEUE_CAPACITY);
        let task = WriterTask::new(name, writer, connection);
        Self {
            messages,
            task: Mutex::new(Some(tokio::spawn(task.run(received)))),
        }
    }

    /// Applies `command` in a transaction that it shares with the other commands that wait, and
    /// returns its response after the commit. Dropping the future does not withdraw the command.
    ///
    /// # Errors
    ///
    /// [`SubmitError::Full`] at once where [`QUEUE_CAPACITY`] commands wait, and the other
    /// [`SubmitError`]s.
    pub async fn submit(&self, command: W::Command) -> Result<W::Response, SubmitError> {
        let (request, response) = Request::new(command);
        self.messages.try_send(Message::Shared(request))?;
        response.await.unwrap_or(Err(SubmitError::Panicked))
    }

    /// As [`Self::submit`], but waits where the queue is full, and has a transaction of its own:
    /// for maintenance, which neither load nor a failure of other commands should keep from
    /// running.
    ///
    /// # Errors
    ///
    /// Every [`SubmitError`] but [`SubmitError::Full`].
    pub async fn submit_alone(&self, command: W::Command) -> Result<W::Response, SubmitError> {
        let (request, response) = Request::new(command);
        let sent = self.messages.send(Message::Alone(request)).await;
        sent.map_err(|_| SubmitError::Closed)?;
        response.await.unwrap_or(Err(SubmitError::Panicked))
    }

    /// Applies what is queued, rejects later commands, and closes the connection. Returns when that
    /// is done.
    pub async fn close(&self) {
        // An error means that the task has ended already.
        let _ = self.messages.send(Message::Close).await;
        let task = self.task.lock();
        let task = task.unwrap_or_else(PoisonError::into_inner).take();
        if let Some(task) = task
            && let Err(error) = task.await
        {
            tracing::error!(%error, "the task of a store's writer failed");
        }
    }
}

// === impl SubmitError ===

impl<T> From<TrySendError<T>> for SubmitError {
    fn from(rejected: TrySendError<T>) -> Self {
        match rejected {
            TrySendError::Full(_) => Self::Full,
            TrySendError::Closed(_) => Self::Closed,
        }
    }
}

// === impl Request ===

impl<W: Writer> Request<W> {
    fn new(command: W::Command) -> (Self, oneshot::Receiver<Result<W::Response, SubmitError>>) {
        let (responder, response) = oneshot::channel();
        let request = Self { command, responder };
        (request, response)
    }
}
