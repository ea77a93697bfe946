//! tonic's server with unusual requests: unknown paths and HTTP/1.

use grpc_prometheus::{Exposition, ServerMetrics};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt, DuplexStream},
    sync::oneshot,
};
use tonic::{body::Body, transport::Server};
use tonic_web::GrpcWebLayer;
use tower::ServiceExt;

use crate::{
    duplex::{Connection, serve, server},
    echo::Echo,
    expect::{calls, eventually, exactly, expected, wait_for},
    layers::grpc,
};

// M55 M56
#[tokio::test]
async fn paths_that_tonic_does_not_serve_are_unimplemented_and_unknown() {
    let (exposition, metrics) = server();
    let server = Server::builder().layer(metrics.layer());
    let connection = Connection::new(server, Echo::default().routes());
    for path in ["/t.v1.Echo/Nope", "/no.Such/X", "/foo", "/"] {
        let request = grpc(path).body(Body::empty()).unwrap();
        let answer = connection.channel.clone().oneshot(request).await.unwrap();
        assert_eq!(answer.headers()["grpc-status"], "12", "{path}");
    }
    wait_for(
        &exposition,
        expected(&[
            "server handled Unimplemented unknown t.v1.Echo unknown 1",
            "server handled Unimplemented unknown unknown unknown 3",
            "server handling unknown t.v1.Echo unknown 1",
            "server handling unknown unknown unknown 3",
            "server started unknown t.v1.Echo unknown 1",
            "server started unknown unknown unknown 3",
        ]),
    )
    .await;
}

/// A metered server with HTTP/1, and the client's end of its connection.
struct Http1 {
    exposition: Exposition,
    metrics: ServerMetrics,
    io: DuplexStream,
    _stop: oneshot::Sender<()>,
}

const HEAD: &str = "POST /t.v1.Echo/Server HTTP/1.1\r\nhost: echo\r\ncontent-length: 5\r\n\
    content-type: application/grpc-web+proto\r\n";

// M95 M96 over a connection like a browser's, without HTTP/2.
#[tokio::test]
async fn a_grpc_web_call_over_http1_is_a_call_inside_of_the_translation_and_outside() {
    for inside in [true, false] {
        let mut served = Http1::new(inside);
        served.send("x-script: head send2 err5", &[0; 5]).await;
        served.answered("grpc-status:5").await;
        let lines = calls("server", "Server", "NotFound", 1, 2);
        wait_for(&served.exposition, exactly(&[lines])).await;
    }
}

#[tokio::test]
async fn a_caller_over_http1_that_leaves_cancels() {
    for inside in [true, false] {
        // grpc-web turns a request that is cut off into an `Internal` without a source.
        let cut = if inside { "Internal" } else { "Canceled" };
        for (script, request, messages, code) in [
            ("x-script: hang", &[0; 5][..], (1, 0), "Canceled"),
            ("x-script: head send1 hang", &[0; 5], (1, 1), "Canceled"),
            ("x-script: head", &[0; 3], (0, 0), cut),
        ] {
            let mut served = Http1::new(inside);
            served.send(script, request).await;
            let seen = || {
                let snapshot = served.metrics.snapshot();
                (snapshot.received, snapshot.sent) == messages && snapshot.started == 1
            };
            assert!(eventually(seen).await, "{:?}", served.metrics.snapshot());
            let (received, sent) = messages;
            let lines = calls("server", "Server", code, received, sent);
            drop(served.io);
            wait_for(&served.exposition, exactly(&[lines])).await;
        }
    }
}

#[tokio::test]
async fn a_get_over_http1_is_no_call() {
    let mut served = Http1::new(true);
    let get = b"GET /t.v1.Echo/Unary HTTP/1.1\r\nhost: echo\r\n\r\n";
    served.io.write_all(get).await.unwrap();
    served.answered("HTTP/1.1").await;
    wait_for(&served.exposition, expected(&[])).await;
}

// === impl Http1 ===

impl Http1 {
    fn new(inside: bool) -> Self {
        let (exposition, metrics) = server();
        let (io, far) = tokio::io::duplex(1 << 16);
        let (stop, stopped) = oneshot::channel();
        let server = Server::builder().accept_http1(true);
        let routes = Echo::default().routes();
        if inside {
            let server = server.layer(GrpcWebLayer::new()).layer(metrics.layer());
            serve(server, routes, far, stopped);
        } else {
            let server = server.layer(metrics.layer()).layer(GrpcWebLayer::new());
            serve(server, routes, far, stopped);
        }
        Self {
            exposition,
            metrics,
            io,
            _stop: stop,
        }
    }

    async fn send(&mut self, header: &str, body: &[u8]) {
        let head = format!("{HEAD}{header}\r\n\r\n");
        let request = [head.as_bytes(), body].concat();
        self.io.write_all(&request).await.unwrap();
    }

    async fn answered(&mut self, expected: &str) {
        let mut answer = Vec::new();
        while !String::from_utf8_lossy(&answer).contains(expected) {
            let read = self.io.read_buf(&mut answer).await.unwrap();
            assert!(read > 0, "{}", String::from_utf8_lossy(&answer));
        }
    }
}
