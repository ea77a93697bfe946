//! HTTP/2 frame by frame, without its rules.

use std::net::SocketAddr;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;
use vitalmesh_tests::within;

use crate::fixture::{METHOD, PATIENCE};

pub(crate) const ENHANCE_YOUR_CALM: u32 = 11;
pub(crate) const REFUSED_STREAM: u32 = 7;

/// A connection that sends any frames.
pub(crate) struct Frames(pub(crate) TcpStream);

/// A frame of the server: type, stream and payload.
pub(crate) type Frame = (u8, u32, Vec<u8>);

pub(crate) const DATA: u8 = 0;
pub(crate) const HEADERS: u8 = 1;
pub(crate) const RST_STREAM: u8 = 3;
pub(crate) const SETTINGS: u8 = 4;
pub(crate) const PING: u8 = 6;
pub(crate) const GOAWAY: u8 = 7;
pub(crate) const WINDOW_UPDATE: u8 = 8;
pub(crate) const CONTINUATION: u8 = 9;
pub(crate) const END_STREAM: u8 = 1;
pub(crate) const END_HEADERS: u8 = 4;

pub(crate) fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).unwrap().to_be_bytes();
    let head = [&length[1..], &[kind, flags], &stream.to_be_bytes()].concat();
    [&head, payload].concat()
}

/// The header block of a request, uncompressed.
pub(crate) fn head(path: &str) -> Vec<u8> {
    let fields = [
        (":method", "POST"),
        (":scheme", "http"),
        (":path", path),
        (":authority", "leaf"),
        ("content-type", "application/grpc"),
        ("te", "trailers"),
    ];
    fields
        .iter()
        .flat_map(|(name, value)| field(name, value))
        .collect()
}

pub(crate) fn field(name: &str, value: &str) -> Vec<u8> {
    let mut field = vec![0];
    for text in [name, value] {
        field.push(u8::try_from(text.len()).unwrap());
        field.extend(text.as_bytes());
    }
    field
}

pub(crate) fn request(stream: u32) -> Vec<u8> {
    frame(HEADERS, END_HEADERS, stream, &head(METHOD))
}

/// The ids of a client's first `count` streams.
pub(crate) fn streams(count: u32) -> impl Iterator<Item = u32> {
    (0..count).map(|number| 2 * number + 1)
}

impl Frames {
    pub(crate) async fn connect(address: SocketAddr) -> Self {
        let mut stream = TcpStream::connect(address).await.unwrap();
        stream
            .write_all(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n")
            .await
            .unwrap();
        stream.write_all(&frame(SETTINGS, 0, 0, &[])).await.unwrap();
        Self(stream)
    }

    pub(crate) async fn read(&mut self) -> Option<Frame> {
        let mut head = [0; 9];
        self.0.read_exact(&mut head).await.ok()?;
        let length = u32::from_be_bytes([0, head[0], head[1], head[2]]);
        let mut payload = vec![0; usize::try_from(length).unwrap()];
        self.0.read_exact(&mut payload).await.ok()?;
        Some((
            head[3],
            u32::from_be_bytes([head[5], head[6], head[7], head[8]]),
            payload,
        ))
    }

    /// Reads until a frame of this type.
    pub(crate) async fn first(&mut self, wanted: u8) -> Frame {
        let read = async {
            loop {
                let (kind, stream, payload) = self.read().await.expect("the connection ended");
                if kind == wanted {
                    return (kind, stream, payload);
                }
            }
        };
        within(PATIENCE, read).await.0
    }

    /// Sends `bytes` while it reads. Returns the code of the GOAWAY, `None` where none comes before the
    /// connection ends or is silent for a second, and the number of resets.
    pub(crate) async fn provoke(self, bytes: Vec<u8>) -> (Option<u32>, usize) {
        let (read, mut write) = self.0.into_split();
        let sender = tokio::spawn(async move {
            let _ = write.write_all(&bytes).await;
            write
        });
        let (mut read, mut resets, mut code) = (read, 0, None);
        loop {
            let mut head = [0; 9];
            let Ok(Ok(_)) = timeout(Duration::from_secs(1), read.read_exact(&mut head)).await
            else {
                break;
            };
            let length = u32::from_be_bytes([0, head[0], head[1], head[2]]);
            let mut payload = vec![0; usize::try_from(length).unwrap()];
            if read.read_exact(&mut payload).await.is_err() {
                break;
            }
            match head[3] {
                RST_STREAM => resets += 1,
                GOAWAY => code = Some(u32::from_be_bytes(payload[4..8].try_into().unwrap())),
                _ => {}
            }
        }
        sender.abort();
        (code, resets)
    }
}
