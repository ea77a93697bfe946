//! A peer that sends and receives HTTP/2 frame by frame.

use bytes::{Buf, BytesMut};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::sync::mpsc;

use crate::frame::{Frame, error, fields, flag, kind};
use crate::wire::Io;

const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// One gRPC message of five bytes.
pub(crate) const MESSAGE: &[u8] = b"\0\0\0\0\x05hello";

/// The server's end of one connection. Closes it on drop, after what was sent has gone out.
///
/// A task acknowledges SETTINGS and PING, so that a test may await its client in between.
#[derive(Debug)]
pub(crate) struct Peer {
    frames: mpsc::UnboundedReceiver<Frame>,
    out: mpsc::UnboundedSender<Vec<u8>>,
    /// The client's GOAWAY.
    goodbye: Option<Frame>,
}

/// What the peer's task does for it.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Habit {
    AcknowledgePings,
    IgnorePings,
}

// === impl Peer ===

impl Peer {
    /// A peer that opens with these SETTINGS.
    pub(crate) fn new(io: Io, settings: &[(u16, u32)]) -> Self {
        Self::with(io, settings, Habit::AcknowledgePings)
    }

    /// A peer that acknowledges no PING, as if it hung.
    pub(crate) fn silent(io: Io) -> Self {
        Self::with(io, &[], Habit::IgnorePings)
    }

    fn with(io: Io, settings: &[(u16, u32)], habit: Habit) -> Self {
        let (received, frames) = mpsc::unbounded_channel();
        let (out, sent) = mpsc::unbounded_channel();
        tokio::spawn(async move { drive(io, sent, &received, habit).await });
        let peer = Self {
            frames,
            out,
            goodbye: None,
        };
        peer.settings(settings);
        peer
    }

    // --- received ---

    /// The next frame of a stream; `None` once the client has closed the connection.
    pub(crate) async fn next(&mut self) -> Option<Frame> {
        self.frames.recv().await
    }

    async fn until(&mut self, awaited: impl Fn(&Frame) -> bool) -> Frame {
        while let Some(frame) = self.next().await {
            if awaited(&frame) {
                return frame;
            }
            if frame.kind == kind::GOAWAY {
                self.goodbye = Some(frame);
            }
        }
        let code = self.goodbye.as_ref().map(Frame::error_code);
        panic!("the client closed the connection, error code {code:?}");
    }

    /// Waits for the next request's HEADERS; returns its stream.
    pub(crate) async fn request(&mut self) -> u32 {
        self.until(|frame| frame.kind == kind::HEADERS).await.stream
    }

    /// Waits for the end of the next request, body included; returns its stream.
    pub(crate) async fn whole_request(&mut self) -> u32 {
        let ends = |frame: &Frame| {
            matches!(frame.kind, kind::HEADERS | kind::DATA) && frame.has(flag::END_STREAM)
        };
        self.until(ends).await.stream
    }

    /// Waits for the RST_STREAM of `stream`; returns its error code.
    pub(crate) async fn reset_of(&mut self, stream: u32) -> u32 {
        let reset = |frame: &Frame| frame.kind == kind::RST_STREAM && frame.stream == stream;
        self.until(reset).await.error_code()
    }

    /// Waits until the client closes the connection; returns the streams that it opened first.
    pub(crate) async fn closed(&mut self) -> Vec<u32> {
        let mut opened = Vec::new();
        while let Some(frame) = self.next().await {
            if frame.kind == kind::HEADERS {
                opened.push(frame.stream);
            }
        }
        opened
    }

    /// The frames that have arrived.
    pub(crate) fn arrived(&mut self) -> Vec<Frame> {
        std::iter::from_fn(|| self.frames.try_recv().ok()).collect()
    }

    // --- sent ---

    pub(crate) fn bytes(&self, bytes: impl Into<Vec<u8>>) {
        // A closed connection shows in what is received.
        let _ = self.out.send(bytes.into());
    }

    pub(crate) fn send(&self, frame: &Frame) {
        self.bytes(frame.encode());
    }

    pub(crate) fn settings(&self, settings: &[(u16, u32)]) {
        let mut payload = Vec::new();
        for (setting, value) in settings {
            payload.extend(setting.to_be_bytes());
            payload.extend(value.to_be_bytes());
        }
        self.send(&Frame::new(kind::SETTINGS, 0, 0, payload));
    }

    /// HEADERS of a response, or trailers.
    pub(crate) fn headers(&self, stream: u32, flags: u8, headers: &[(&str, &str)]) {
        let flags = flags | flag::END_HEADERS;
        self.send(&Frame::new(kind::HEADERS, flags, stream, fields(headers)));
    }

    pub(crate) fn data(&self, stream: u32, data: &[u8]) {
        self.send(&Frame::new(kind::DATA, 0, stream, data.to_vec()));
    }

    /// The head of a gRPC response.
    pub(crate) fn head(&self, stream: u32) {
        let head = [(":status", "200"), ("content-type", "application/grpc")];
        self.headers(stream, 0, &head);
    }

    pub(crate) fn trailers(&self, stream: u32, status: &str) {
        self.headers(stream, flag::END_STREAM, &[("grpc-status", status)]);
    }

    /// A whole response: [`MESSAGE`] and status 0.
    pub(crate) fn answer(&self, stream: u32) {
        self.head(stream);
        self.data(stream, MESSAGE);
        self.trailers(stream, "0");
    }

    pub(crate) fn reset(&self, stream: u32, code: u32) {
        let payload = code.to_be_bytes().to_vec();
        self.send(&Frame::new(kind::RST_STREAM, 0, stream, payload));
    }

    pub(crate) fn go_away(&self, last: u32, code: u32) {
        let payload = [last.to_be_bytes(), code.to_be_bytes()].concat();
        self.send(&Frame::new(kind::GOAWAY, 0, 0, payload));
    }

    /// Lets the client send `more` bytes on `stream`, or on the connection if that is 0.
    pub(crate) fn window(&self, stream: u32, more: u32) {
        let payload = more.to_be_bytes().to_vec();
        self.send(&Frame::new(kind::WINDOW_UPDATE, 0, stream, payload));
    }

    /// Waits for the client's acknowledgement of a PING, and so for all that was sent before it.
    pub(crate) async fn ping(&mut self) {
        let payload = b"in order".to_vec();
        self.send(&Frame::new(kind::PING, 0, 0, payload.clone()));
        let acknowledged = |frame: &Frame| frame.kind == kind::PING && frame.payload == payload;
        self.until(acknowledged).await;
    }

    /// GOAWAY without an error, after every stream that was answered.
    pub(crate) fn shut_down(&self, last: u32) {
        self.go_away(last, error::NO_ERROR);
    }
}

/// Moves bytes until either end closes. Streams' frames, GOAWAY and acknowledged PINGs are passed on.
async fn drive(
    mut io: Io,
    mut out: mpsc::UnboundedReceiver<Vec<u8>>,
    received: &mpsc::UnboundedSender<Frame>,
    habit: Habit,
) {
    let mut buffer = BytesMut::new();
    let mut preface = PREFACE.len();
    loop {
        tokio::select! {
            biased;
            bytes = out.recv() => match bytes {
                // What the client sent before it closed can still be read.
                Some(bytes) => _ = io.write_all(&bytes).await,
                None => return,
            },
            read = io.read_buf(&mut buffer) => if read.unwrap_or(0) == 0 {
                return;
            }
        }
        if preface > 0 {
            if buffer.len() < preface {
                continue;
            }
            buffer.advance(std::mem::take(&mut preface));
        }
        while let Some(frame) = Frame::take(&mut buffer) {
            let reply = match frame.kind {
                kind::WINDOW_UPDATE => continue,
                kind::SETTINGS if frame.has(flag::ACK) => continue,
                kind::PING if frame.has(flag::ACK) => None,
                kind::PING if habit == Habit::IgnorePings => continue,
                kind::SETTINGS => Some(Frame::new(kind::SETTINGS, flag::ACK, 0, Vec::new())),
                kind::PING => Some(Frame::new(kind::PING, flag::ACK, 0, frame.payload.clone())),
                _ => None,
            };
            match reply {
                Some(reply) => _ = io.write_all(&reply.encode()).await,
                // A test that is not interested in more has dropped its end.
                None => drop(received.send(frame)),
            }
        }
    }
}
