//! A gRPC connection without client-side deadlines, which tonic's channel has.

use std::future::Future;
use std::net::SocketAddr;
use std::pin::Pin;
use std::task::{Context, Poll};

use http::{Request, Response, Uri};
use hyper::body::Incoming;
use hyper::client::conn::http2::{Builder, SendRequest};
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::net::TcpStream;
use tonic::body::Body;
use tower_service::Service;

/// Small, so that an unread stream is soon full.
const WINDOW: u32 = 64 << 10;

/// One HTTP/2 connection, for the generated clients' `with_origin`.
#[derive(Clone, Debug)]
pub struct Wire {
    sender: SendRequest<Body>,
    origin: Uri,
}

// === impl Wire ===

impl Wire {
    /// Connects to a gRPC port.
    ///
    /// # Panics
    ///
    /// No HTTP/2 server is at `address`.
    pub async fn connect(address: SocketAddr) -> Self {
        let stream = TcpStream::connect(address).await.unwrap();
        let handshake = Builder::new(TokioExecutor::new())
            .initial_stream_window_size(WINDOW)
            .initial_connection_window_size(WINDOW)
            .handshake(TokioIo::new(stream));
        let (sender, connection) = handshake.await.unwrap();
        tokio::spawn(connection);
        Self {
            sender,
            origin: format!("http://{address}").parse().unwrap(),
        }
    }

    /// The URL of the server.
    pub fn origin(&self) -> Uri {
        self.origin.clone()
    }
}

impl Service<Request<Body>> for Wire {
    type Response = Response<Incoming>;
    type Error = hyper::Error;
    type Future = Pin<Box<dyn Future<Output = hyper::Result<Self::Response>> + Send>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        self.sender.poll_ready(cx)
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        Box::pin(self.sender.send_request(request))
    }
}
