//! The task that writes: takes the commands that wait, has the writer apply them, and responds.

use std::error::Error;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;

use futures_util::FutureExt;
use sqlx::Connection;
use sqlx::sqlite::SqliteConnection;
use tokio::sync::mpsc;

use crate::queue::{Message, Request};
use crate::{SubmitError, Writer};

/// Commands that share a transaction at most.
const MAX_BATCH: usize = 256;

pub(crate) struct WriterTask<W> {
    /// Whose writes fail or work again, for the logs.
    name: &'static str,
    writer: W,
    /// None after a failure, until the next transaction.
    connection: Option<SqliteConnection>,
    /// Whether the last transaction failed. Only a change is logged.
    is_failing: bool,
}

#[derive(Debug, thiserror::Error)]
#[error("the writer panicked; its open transaction is rolled back")]
struct WriterPanicked;

// === impl WriterTask ===

impl<W: Writer> WriterTask<W> {
    pub(crate) const fn new(name: &'static str, writer: W, connection: SqliteConnection) -> Self {
        Self {
            name,
            writer,
            connection: Some(connection),
            is_failing: false,
        }
    }

    /// Writes until the queue is closed or dropped, and empty.
    pub(crate) async fn run(mut self, mut queue: mpsc::Receiver<Message<W>>) {
        let mut messages = Vec::with_capacity(MAX_BATCH);
        while queue.recv_many(&mut messages, MAX_BATCH).await > 0 {
            let mut batch = Vec::with_capacity(messages.len());
            let mut alone = Vec::new();
            for message in messages.drain(..) {
                match message {
                    Message::Shared(request) => batch.push(request),
                    Message::Alone(request) => alone.push(request),
                    Message::Close => queue.close(),
                }
            }
            if !batch.is_empty() {
                self.write(batch).await;
            }
            for request in alone {
                self.write(vec![request]).await;
            }
        }
        self.close().await;
    }

    /// Applies a batch in one transaction, and responds to each of its requests.
    async fn write(&mut self, batch: Vec<Request<W>>) {
        let (commands, responders): (Vec<_>, Vec<_>) = batch
            .into_iter()
            .map(|request| (request.command, request.responder))
            .unzip();
        // A writer changes its state after a commit only, so a panic leaves it consistent.
        let written = AssertUnwindSafe(self.try_write(&commands)).catch_unwind();
        let failure = match written.await {
            Ok(Ok(responses)) => {
                self.log_success();
                for (responder, response) in responders.into_iter().zip(responses) {
                    // A caller that is gone has its command applied all the same.
                    let _ = responder.send(Ok(response));
                }
                return;
            }
            Ok(Err(error)) => self.failed(error).await,
            Err(_) => self.panicked(),
        };
        for responder in responders {
            let _ = responder.send(Err(failure.clone()));
        }
    }

    async fn try_write(&mut self, commands: &[W::Command]) -> Result<Vec<W::Response>, W::Error> {
        let connection = match self.connection.take() {
            Some(connection) => connection,
            None => self.writer.connect().await?,
        };
        let connection = self.connection.insert(connection);
        self.writer.write(commands, connection).await
    }

    async fn failed(&mut self, error: W::Error) -> SubmitError {
        self.log_failure(&error);
        if let Some(connection) = self.connection.take() {
            // An error of closing adds nothing to the one at hand.
            let _ = connection.close().await;
        }
        SubmitError::Failed(Arc::new(error))
    }

    fn panicked(&mut self) -> SubmitError {
        self.log_failure(&WriterPanicked);
        // Its state is unknown, so it is dropped and not closed.
        self.connection = None;
        SubmitError::Panicked
    }

    /// The last connection to close moves the write-ahead log into the database.
    async fn close(&mut self) {
        if let Some(connection) = self.connection.take()
            && let Err(error) = connection.close().await
        {
            tracing::error!(store = self.name, %error, "cannot close the database");
        }
    }

    fn log_success(&mut self) {
        if std::mem::take(&mut self.is_failing) {
            tracing::info!(store = self.name, "writes succeed again");
        }
    }

    fn log_failure(&mut self, error: &(dyn Error + 'static)) {
        if !std::mem::replace(&mut self.is_failing, true) {
            tracing::error!(store = self.name, error, "writes fail");
        }
    }
}
