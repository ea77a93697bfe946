//! The task of one stream, from its opening to its end.

use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt;
use tokio::sync::watch;
use tokio::time::timeout;
use tonic::Status;

use crate::multiplexer::Multiplexer;
use crate::{Protocol, Requests};

/// How long a server may take to end a stream that has no clients left.
const LINGER: Duration = Duration::from_secs(1);

/// One stream. When it is dropped, also by a panic in the protocol or by the end of the runtime, the
/// calls that wait for it fail.
pub(crate) struct StreamTask<P: Protocol> {
    multiplexer: Arc<Multiplexer<P>>,
    number: u64,
    status: Status,
}

// === impl StreamTask ===

impl<P: Protocol> StreamTask<P> {
    pub(crate) fn new(multiplexer: Arc<Multiplexer<P>>, number: u64) -> Self {
        Self {
            multiplexer,
            number,
            status: unavailable(Some(Status::unknown("the stream's task was dropped"))),
        }
    }

    /// Opens the stream and reads it until it ends, or until [`LINGER`] after the last client is
    /// dropped.
    pub(crate) async fn run(mut self, mut alive: watch::Receiver<()>) {
        let ended = {
            let mut responses = pin!(self.read());
            tokio::select! {
                ended = &mut responses => ended,
                _ = alive.changed() => {
                    self.multiplexer.end_requests(self.number);
                    timeout(LINGER, responses).await.unwrap_or(Ok(()))
                }
            }
        };
        self.status = unavailable(ended.err());
    }

    async fn read(&self) -> Result<(), Status> {
        let requests = Requests::new(Arc::clone(&self.multiplexer), self.number);
        let mut responses = pin!(self.multiplexer.protocol().open(requests).await?);
        while let Some(response) = responses.next().await {
            self.multiplexer.respond(response?);
        }
        Ok(())
    }
}

impl<P: Protocol> Drop for StreamTask<P> {
    fn drop(&mut self) {
        self.multiplexer.end_stream(self.number, &self.status);
    }
}

/// The status of calls without a response, with that of their stream as its source.
fn unavailable(stream: Option<Status>) -> Status {
    let Some(stream) = stream else {
        return Status::unavailable("the stream ended before the response");
    };
    let (code, message) = (stream.code(), stream.message());
    let message = format!("the stream ended before the response: {code:?}, {message}");
    let mut status = Status::unavailable(message);
    status.set_source(Arc::new(stream));
    status
}
