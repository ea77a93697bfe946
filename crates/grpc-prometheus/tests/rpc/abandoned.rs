//! Calls that end without a response: the caller leaves, the connection is lost, the service
//! panics.

use grpc_prometheus::{ClientMetrics, Exposition, ServerMetrics};
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::Status;

use crate::{
    caller::{EchoClient, drain},
    duplex::Fixture,
    echo::{Echo, echo_descriptor_set, texts},
    endings::Kind,
    expect::{calls, exactly, wait_for},
};

/// A call that hangs after this many messages.
#[derive(Clone, Copy, Debug)]
struct Parked {
    kind: Kind,
    script: &'static str,
    requests: u64,
    answers: u64,
}

const PARKED: [Parked; 6] = [
    parked(Kind::Unary, "hang", 1, 0),
    parked(Kind::Server, "hang", 1, 0),
    parked(Kind::Server, "head send2 hang", 1, 2),
    parked(Kind::Client, "read2 hang", 2, 0),
    parked(Kind::Bidi, "read2 hang", 2, 0),
    parked(Kind::Bidi, "read2 head send3 hang", 2, 3),
];

const fn parked(kind: Kind, script: &'static str, requests: u64, answers: u64) -> Parked {
    Parked {
        kind,
        script,
        requests,
        answers,
    }
}

// M26 M41 M69 M75: the caller leaves before or after the response head.
#[tokio::test]
async fn a_caller_that_leaves_cancels_on_both_sides() {
    for case in PARKED {
        let fixture = Fixture::new();
        let caller = tokio::spawn(case.call(fixture.echo.clone()));
        wait_for(&fixture.exposition, case.in_flight()).await;
        caller.abort();
        wait_for(&fixture.exposition, case.ended("Canceled", "Canceled")).await;
    }
}

// M27 M49 M76 M78
#[tokio::test]
async fn a_lost_connection_ends_calls_of_every_kind_on_both_sides() {
    for case in PARKED {
        let fixture = Fixture::new();
        let caller = tokio::spawn(case.call(fixture.echo.clone()));
        wait_for(&fixture.exposition, case.in_flight()).await;
        fixture.connection.cut();
        // tonic reports `Unknown`.
        caller.await.unwrap().unwrap_err();
        wait_for(&fixture.exposition, case.ended("Canceled", "Unavailable")).await;
    }
}

// M20 M43
#[tokio::test]
async fn a_panic_of_any_kind_is_internal_and_the_connection_lives() {
    for (kind, script, received, sent) in [
        (Kind::Unary, "panic", 1, 0),
        (Kind::Server, "panic", 1, 0),
        (Kind::Server, "head send2 yield panic", 1, 2),
        (Kind::Client, "read1 panic", 1, 0),
        (Kind::Bidi, "read1 panic", 1, 0),
        (Kind::Bidi, "read1 head send1 yield panic", 1, 1),
    ] {
        let exposition = Exposition::default();
        let builder = ServerMetrics::builder().descriptor_set(&echo_descriptor_set());
        let metrics = builder.register(&exposition).unwrap();
        let client = ClientMetrics::builder()
            .register(&Exposition::default())
            .unwrap();
        let mut fixture = Fixture::with(exposition, metrics, &client, Echo::default());
        let case = parked(kind, script, received, sent);
        case.call(fixture.echo.clone()).await.unwrap_err();
        let method = format!("{kind:?}");
        let panicked = calls("server", &method, "Internal", received, sent);
        wait_for(&fixture.exposition, exactly(&[panicked])).await;
        fixture.echo.unary("head").await.unwrap();
        let snapshot = fixture.server.snapshot();
        assert_eq!((snapshot.started, snapshot.handled[0]), (2, 1), "{case:?}");
    }
}

// M52: one message per poll, so that the third never arrives.
#[tokio::test]
async fn a_conversation_that_fails_after_two_of_three_has_counted_two() {
    let mut fixture = Fixture::new();
    let (requests, incoming) = mpsc::channel(1);
    let mut texts = texts(3).into_iter();
    requests.send(texts.next().unwrap()).await.unwrap();
    let incoming = ReceiverStream::new(incoming);
    let script = "head read1 send1 read1 err13";
    let mut answers = fixture.echo.bidi(script, incoming).await.unwrap();
    answers.message().await.unwrap().unwrap();
    requests.send(texts.next().unwrap()).await.unwrap();
    let status = answers.message().await.unwrap_err();
    assert_eq!(status.code(), tonic::Code::Internal);
    let server = calls("server", "Bidi", "Internal", 2, 1);
    let client = calls("client", "Bidi", "Internal", 1, 2);
    wait_for(&fixture.exposition, exactly(&[server, client])).await;
}

// === impl Parked ===

impl Parked {
    /// Keeps the request stream open while it is polled.
    async fn call<T, B>(self, mut echo: EchoClient<T>) -> Result<(), Status>
    where
        T: tonic::client::GrpcService<tonic::body::Body, ResponseBody = B>,
        T::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
        B: http_body::Body<Data = bytes::Bytes> + Send + 'static,
        B::Error: Into<Box<dyn std::error::Error + Send + Sync>> + Send,
    {
        let (requests, incoming) = mpsc::channel(2);
        for text in texts(self.requests as usize) {
            requests.send(text).await.unwrap();
        }
        let incoming = ReceiverStream::new(incoming);
        let end = match self.kind {
            Kind::Unary => echo.unary(self.script).await.map(drop),
            Kind::Client => echo.client(self.script, incoming).await.map(drop),
            Kind::Server => drain(echo.server(self.script).await?).await.1,
            Kind::Bidi => drain(echo.bidi(self.script, incoming).await?).await.1,
        };
        drop(requests);
        end
    }

    fn in_flight(self) -> Vec<String> {
        self.both(|side, method| {
            vec![
                format!("{side} started {method} 1"),
                format!("{side} in_flight {method} 1"),
            ]
        })
    }

    fn ended(self, server: &str, client: &str) -> Vec<String> {
        self.both(|side, method| {
            let code = if side == "server" { server } else { client };
            calls(side, method, code, 0, 0)
        })
    }

    /// The given samples of both sides, and those of the messages.
    fn both(self, lines: impl Fn(&str, &str) -> Vec<String>) -> Vec<String> {
        let method = format!("{:?}", self.kind);
        let messages = [
            ("server msg_received", self.requests),
            ("server msg_sent", self.answers),
            ("client msg_sent", self.requests),
            ("client msg_received", self.answers),
        ];
        let moved = messages.into_iter().filter(|(_, count)| *count > 0);
        let messages = moved.map(|(name, count)| format!("{name} {method} {count}"));
        exactly(&[
            lines("server", &method),
            lines("client", &method),
            messages.collect(),
        ])
    }
}
