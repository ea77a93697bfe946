//! The messages of a gRPC stream as rows of a response's body, as they come and no faster than they
//! are read.

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

/// A frame is sent once it has this many bytes, or when no message is there: a frame for each row
/// would cost a write each.
const FRAME: usize = 64 << 10;
/// How long the row that names the error may take to be written before the transfer is cut, which
/// drops what is not.
const LAST_WORDS: Duration = Duration::from_millis(500);

/// How rows make a text.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Framing {
    open: &'static str,
    between: &'static str,
    close: &'static str,
}

/// The body. Dropped, it cancels the call.
#[derive(Debug)]
pub(crate) struct Rows<T, R> {
    messages: Streaming<T>,
    framing: Framing,
    row: fn(T) -> R,
    buffer: Vec<u8>,
    state: State,
    _place: OwnedSemaphorePermit,
}

#[derive(Debug)]
enum State {
    /// Nothing is written yet.
    Begun,
    Going,
    /// The error is told; the transfer is cut when the time is over.
    Failed(Status, Option<Pin<Box<Sleep>>>),
    Ended,
}

// === impl Framing ===

impl Framing {
    /// Newline-delimited JSON.
    pub(crate) const LINES: Self = Self {
        open: "",
        between: "\n",
        close: "\n",
    };
    /// One JSON array.
    pub(crate) const ARRAY: Self = Self {
        open: "[",
        between: ",\n",
        close: "]\n",
    };
}

// === impl Rows ===

impl<T, R: Serialize> Rows<T, R> {
    pub(crate) const fn new(
        messages: Streaming<T>,
        framing: Framing,
        row: fn(T) -> R,
        place: OwnedSemaphorePermit,
    ) -> Self {
        Self {
            messages,
            framing,
            row,
            buffer: Vec::new(),
            state: State::Begun,
            _place: place,
        }
    }

    /// Writes what comes before the next row.
    fn separate(&mut self) {
        let text = match self.state {
            State::Begun => self.framing.open,
            _ => self.framing.between,
        };
        self.state = State::Going;
        self.buffer.extend_from_slice(text.as_bytes());
    }

    fn add(&mut self, row: &impl Serialize) -> serde_json::Result<()> {
        self.separate();
        serde_json::to_writer(&mut self.buffer, row)
    }

    fn end(&mut self) {
        if matches!(self.state, State::Begun) {
            self.buffer.extend_from_slice(self.framing.open.as_bytes());
        }
        self.buffer.extend_from_slice(self.framing.close.as_bytes());
        self.state = State::Ended;
    }

    fn fail(&mut self, status: Status) {
        tracing::warn!(code = ?status.code(), message = status.message(), "a download failed");
        let error = json!({ "error": Problem::upstream("bookstore", &status) });
        // Text and numbers are always JSON.
        let _ = self.add(&error);
        self.buffer.push(b'\n');
        self.state = State::Failed(status, None);
    }

    /// Takes messages until a frame is full, there is none, or the stream is over.
    fn fill(&mut self, cx: &mut Context<'_>) {
        while self.buffer.len() < FRAME {
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
        if matches!(this.state, State::Begun | State::Going) {
            this.fill(cx);
        }
        if !this.buffer.is_empty() {
            let frame = std::mem::take(&mut this.buffer);
            return Poll::Ready(Some(Ok(Frame::data(frame.into()))));
        }
        match &mut this.state {
            State::Begun | State::Going => Poll::Pending,
            State::Ended => Poll::Ready(None),
            State::Failed(status, timer) => {
                let timer = timer.get_or_insert_with(|| Box::pin(sleep(LAST_WORDS)));
                ready!(timer.as_mut().poll(cx));
                let error = io::Error::other(status.clone());
                this.state = State::Ended;
                Poll::Ready(Some(Err(error)))
            }
        }
    }
}
