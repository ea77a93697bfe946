//! Refuses request bodies that are not whole gRPC messages. The messages pass through unchanged.

use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::{Buf, Bytes};
use http_body::{Body as HttpBody, Frame, SizeHint};
use pin_project_lite::pin_project;
use tonic::Status;
use tower::BoxError;

use super::PREFIX;

pin_project! {
    /// A request body without compression. Its errors are those of the inner body, and an
    /// `INVALID_ARGUMENT` for a frame that is not a message. tonic would say `INTERNAL`, a fault of
    /// the server.
    pub(super) struct CheckedBody<B> {
        #[pin]
        inner: B,
        position: Position,
        refused: bool,
    }
}

/// Position in the stream of messages.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Position {
    prefix: [u8; PREFIX],
    /// Bytes of `prefix` that have arrived.
    filled: usize,
    /// The call takes a message, and none has begun.
    lacks_message: bool,
    /// Bytes of the message that are still to come, once the prefix is filled.
    remaining: usize,
}

// === impl CheckedBody ===

impl<B> CheckedBody<B> {
    /// A unary call takes a message.
    pub(super) fn new(inner: B, is_unary: bool) -> Self {
        Self {
            inner,
            position: Position {
                lacks_message: is_unary,
                ..Position::default()
            },
            refused: false,
        }
    }
}

impl<B> HttpBody for CheckedBody<B>
where
    B: HttpBody<Data = Bytes, Error: Into<BoxError>>,
{
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        let this = self.project();
        if *this.refused {
            return Poll::Ready(None);
        }
        let frame = ready!(this.inner.poll_frame(cx)).transpose();
        let frame = frame.map_err(Into::into)?;
        let checked = match frame.as_ref().map(Frame::data_ref) {
            Some(Some(data)) => this.position.advance(data),
            Some(None) | None => this.position.end(),
        };
        if let Err(status) = checked {
            *this.refused = true;
            return Poll::Ready(Some(Err(status.into())));
        }
        Poll::Ready(frame.map(Ok))
    }

    fn is_end_stream(&self) -> bool {
        // A cut message, and a missing one, are refused at the end.
        self.inner.is_end_stream() && (self.refused || self.position.end().is_ok())
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.size_hint()
    }
}

// === impl Position ===

impl Position {
    fn advance(&mut self, mut data: &[u8]) -> Result<(), Status> {
        while !data.is_empty() {
            if self.filled < PREFIX {
                let taken = data.len().min(PREFIX - self.filled);
                data.copy_to_slice(&mut self.prefix[self.filled..self.filled + taken]);
                self.filled += taken;
                if self.filled < PREFIX {
                    return Ok(());
                }
                check_flag(self.prefix[0])?;
                self.lacks_message = false;
                self.remaining = (&self.prefix[1..]).get_u32() as usize;
            }
            let taken = data.len().min(self.remaining);
            data.advance(taken);
            self.remaining -= taken;
            if self.remaining == 0 {
                self.filled = 0;
            }
        }
        Ok(())
    }

    fn end(self) -> Result<(), Status> {
        match self.filled {
            0 if self.lacks_message => Err(no_message()),
            0 => Ok(()),
            _ => Err(cut()),
        }
    }
}

fn check_flag(flag: u8) -> Result<(), Status> {
    match flag {
        0 => Ok(()),
        1 => Err(Status::invalid_argument(
            "a message is compressed, but the request names no grpc-encoding",
        )),
        flag => Err(unknown_flag(flag)),
    }
}

pub(super) fn unknown_flag(flag: u8) -> Status {
    Status::invalid_argument(format!("a message has the unknown flag {flag}"))
}

pub(super) fn no_message() -> Status {
    Status::invalid_argument("the request has no message")
}

pub(super) fn cut() -> Status {
    Status::invalid_argument("the request ends within a message")
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;

    use futures_util::stream;
    use http_body_util::{BodyExt, StreamBody};
    use tonic::Code;

    use super::*;

    async fn checked(sent: &[u8], piece: usize, is_unary: bool) -> Result<Vec<u8>, Status> {
        let pieces: Vec<_> = sent.chunks(piece).map(Bytes::copy_from_slice).collect();
        let pieces = pieces
            .into_iter()
            .map(|data| Ok::<_, Infallible>(Frame::data(data)));
        let body = CheckedBody::new(StreamBody::new(stream::iter(pieces)), is_unary);
        match body.collect().await {
            Ok(body) => Ok(body.to_bytes().into()),
            Err(error) => Err(*error.downcast::<Status>().unwrap()),
        }
    }

    #[tokio::test]
    async fn whole_messages_pass_unchanged_however_they_are_cut() {
        for sent in [
            &b""[..],
            b"\0\0\0\0\0",
            b"\0\0\0\0\x03abc",
            b"\0\0\0\0\0\0\0\0\0\x03abc\0\0\0\0\x01x",
        ] {
            for piece in 1..=sent.len().max(1) {
                assert_eq!(checked(sent, piece, false).await.unwrap(), sent);
            }
        }
    }

    #[tokio::test]
    async fn what_is_not_a_message_is_an_invalid_argument() {
        for (sent, message) in [
            (&b"\0\0"[..], "ends within a message"),
            (b"\0\0\0\0\x03ab", "ends within a message"),
            (b"\0\0\0\0\x01x\0\0\0\0\x09", "ends within a message"),
            (b"\x01\0\0\0\x01x", "names no grpc-encoding"),
            (b"\x07\0\0\0\x01x", "unknown flag 7"),
            (b"\0\0\0\0\0\x80\0\0\0\0", "unknown flag 128"),
        ] {
            for piece in 1..=sent.len() {
                let refused = checked(sent, piece, false).await.unwrap_err();
                assert_eq!(refused.code(), Code::InvalidArgument);
                assert!(refused.message().contains(message), "{refused}");
            }
        }
    }

    #[tokio::test]
    async fn a_unary_call_without_a_message_is_an_invalid_argument() {
        let refused = checked(b"", 1, true).await.unwrap_err();
        assert_eq!(refused.code(), Code::InvalidArgument);
        assert_eq!(refused.message(), "the request has no message");
        assert_eq!(
            checked(b"\0\0\0\0\0", 1, true).await.unwrap(),
            b"\0\0\0\0\0"
        );
        let empty = CheckedBody::new(http_body_util::Empty::<Bytes>::new(), true);
        assert!(!empty.is_end_stream());
    }
}
