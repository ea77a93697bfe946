//! A response body with the messages of a gRPC stream as JSON rows, read as fast as the client
//! reads.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use http_body::{Body, Frame};
use serde::Serialize;
use serde_json::json;
use tokio::sync::OwnedSemaphorePermit;
use tokio::time::{Sleep, sleep};
use tonic::codegen::tokio_stream::Stream;
use tonic::{Status, Streaming};
use vitalmesh_chassis::Problem;

/// A frame ends at this many bytes, or where the stream has no message ready: a frame for each row
/// would cost a write for each.
const FRAME_BYTES: usize = 64 << 10;
/// How long the connection has to write the row with the error. Then the transfer is aborted, which
/// drops unwritten data.
const ERROR_FLUSH: Duration = Duration::from_millis(500);

/// The text around the rows.
#[derive(Clone, Copy, Debug)]
pub(crate) struct RowFormat {
    prefix: &'static str,
    separator: &'static str,
    suffix: &'static str,
}

/// The body. Dropping it cancels the gRPC call.
#[derive(Debug)]
pub(crate) struct Rows<T, R> {
    messages: Streaming<T>,
    format: RowFormat,
    row: fn(T) -> R,
    buffer: Vec<u8>,
    state: State,
    _permit: OwnedSemaphorePermit,
}

#[derive(Debug)]
enum State {
    /// Before the first row.
    Empty,
    Streaming,
    /// The row with the error is in a frame; the transfer is aborted when the timer fires.
    Failed(Status, Option<Pin<Box<Sleep>>>),
    Ended,
}

// === impl RowFormat ===

impl RowFormat {
    /// Newline-delimited JSON.
    pub(crate) const LINES: Self = Self {
        prefix: "",
        separator: "\n",
        suffix: "\n",
    };
    /// One JSON array.
    pub(crate) const ARRAY: Self = Self {
        prefix: "[",
        separator: ",\n",
        suffix: "]\n",
    };
}

// === impl Rows ===

impl<T, R: Serialize> Rows<T, R> {
    pub(crate) const fn new(
        messages: Streaming<T>,
        format: RowFormat,
        row: fn(T) -> R,
        permit: OwnedSemaphorePermit,
    ) -> Self {
        Self {
            messages,
            format,
            row,
            buffer: Vec::new(),
            state: State::Empty,
            _permit: permit,
        }
    }

    /// Writes the text before the next row.
    fn separate(&mut self) {
        let text = match self.state {
            State::Empty => self.format.prefix,
            _ => self.format.separator,
        };
        self.state = State::Streaming;
        self.buffer.extend_from_slice(text.as_bytes());
    }

    fn add(&mut self, row: &impl Serialize) -> serde_json::Result<()> {
        self.separate();
        serde_json::to_writer(&mut self.buffer, row)
    }

    fn end(&mut self) {
        if matches!(self.state, State::Empty) {
            self.buffer.extend_from_slice(self.format.prefix.as_bytes());
        }
        self.buffer.extend_from_slice(self.format.suffix.as_bytes());
        self.state = State::Ended;
    }

    fn fail(&mut self, status: Status) {
        // The line of the gRPC call has the reason.
        tracing::debug!(code = ?status.code(), reason = status.message(), "a download failed");
        let error = json!({ "error": Problem::upstream("bookstore", &status) });
        // Strings and numbers always serialize.
        let _ = self.add(&error);
        self.buffer.push(b'\n');
        self.state = State::Failed(status, None);
    }

    /// Reads messages until the frame is full, none is ready, or the stream ends.
    fn fill(&mut self, cx: &mut Context<'_>) {
        while self.buffer.len() < FRAME_BYTES {
            match Pin::new(&mut self.messages).poll_next(cx) {
                Poll::Pending => return,
                Poll::Ready(Some(Ok(message))) => {
                    let row = (self.row)(message);
                    if let Err(error) = self.add(&row) {
                        return self.fail(Status::internal(error.to_string()));
                    }
                }
                Poll::Ready(Some(Err(status))) => return self.fail(status),
                Poll::Ready(None) => return self.end(),
            }
        }
    }
}

impl<T, R> Unpin for Rows<T, R> {}

impl<T, R: Serialize> Body for Rows<T, R> {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, io::Error>>> {
        let this = self.get_mut();
        if matches!(this.state, State::Empty | State::Streaming) {
            this.fill(cx);
        }
        if !this.buffer.is_empty() {
            let frame = std::mem::take(&mut this.buffer);
            return Poll::Ready(Some(Ok(Frame::data(frame.into()))));
        }
        match &mut this.state {
            State::Empty | State::Streaming => Poll::Pending,
            State::Ended => Poll::Ready(None),
            State::Failed(status, timer) => {
                let timer = timer.get_or_insert_with(|| Box::pin(sleep(ERROR_FLUSH)));
                ready!(timer.as_mut().poll(cx));
                let error = io::Error::other(status.clone());
                this.state = State::Ended;
                Poll::Ready(Some(Err(error)))
            }
        }
    }
}
