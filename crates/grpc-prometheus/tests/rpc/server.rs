//! Cases that only a server meets.

use futures_util::stream;
use grpc_prometheus::{ClientMetrics, Exposition, ServerMetrics};
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::transport::Server;

use crate::{
    caller::{EchoClient, drain},
    duplex::{Connection, Fixture},
    echo::{Echo, Text, echo_descriptor_set, texts},
    expect::{calls, eventually, exactly, expected, nonzero_samples, page, wait_for},
};

/// A metered server with an unmetered client.
pub(crate) struct Bare {
    pub(crate) exposition: Exposition,
    pub(crate) metrics: ServerMetrics,
    pub(crate) connection: Connection,
    pub(crate) echo: EchoClient<tonic::transport::Channel>,
}

impl Bare {
    pub(crate) fn new() -> Self {
        Self::with(Echo::default(), |server| server)
    }

    pub(crate) fn with(echo: Echo, configure: impl FnOnce(Server) -> Server) -> Self {
        let exposition = Exposition::default();
        let metrics = ServerMetrics::builder()
            .descriptor_set(&echo_descriptor_set())
            .register(&exposition)
            .unwrap();
        let server = configure(Server::builder()).layer(metrics.layer());
        let connection = Connection::new(server, echo.routes());
        let echo = EchoClient::new(connection.channel.clone());
        Self {
            exposition,
            metrics,
            connection,
            echo,
        }
    }

    pub(crate) async fn wait_for(&self, expected: Vec<String>) {
        wait_for(&self.exposition, expected).await;
    }

    pub(crate) async fn in_flight(&self, calls: u64) {
        let parked = || {
            let snapshot = self.metrics.snapshot();
            snapshot.started - snapshot.handled.iter().sum::<u64>() == calls
        };
        assert!(eventually(parked).await, "{:?}", self.metrics.snapshot());
    }
}

// M18
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn ten_thousand_calls_of_a_hundred_tasks_are_ten_thousand() {
    let fixture = Fixture::new();
    let tasks = (0..100).map(|_| {
        let mut echo = fixture.echo.clone();
        tokio::spawn(async move {
            for _ in 0..100 {
                echo.unary("head").await.unwrap();
            }
        })
    });
    for task in tasks.collect::<Vec<_>>() {
        task.await.unwrap();
    }
    let counts = "handled OK,handling,msg_received,msg_sent,started";
    let mut lines = Vec::new();
    for count in counts.split(',') {
        for side in ["server", "client"] {
            lines.push(format!("{side} {count} Unary 10000"));
        }
    }
    wait_for(&fixture.exposition, exactly(&[lines])).await;
}

// M19
#[tokio::test]
async fn handling_time_is_that_of_the_handler() {
    let mut bare = Bare::new();
    bare.echo.unary("pass30 head").await.unwrap();
    let page = page(&bare.exposition);
    let value = |series: &str| -> f64 {
        let line = page.lines().find(|line| line.starts_with(series));
        let line = line.unwrap_or_else(|| panic!("no {series}"));
        line.rsplit_once(' ').unwrap().1.parse().unwrap()
    };
    let labels = "grpc_method=\"Unary\",grpc_service=\"t.v1.Echo\",grpc_type=\"unary\"";
    let sum = value(&format!("grpc_server_handling_seconds_sum{{{labels}}}"));
    assert!((0.030..10.0).contains(&sum), "{sum}");
    let bucket = |le: &str| {
        value(&format!(
            "grpc_server_handling_seconds_bucket{{{labels},le=\"{le}\"}}"
        ))
    };
    assert_eq!(
        (bucket("0.025"), bucket("10"), bucket("+Inf")),
        (0.0, 1.0, 1.0)
    );
}

// M27
#[tokio::test]
async fn a_lost_connection_cancels_all_its_calls() {
    let bare = Bare::new();
    let callers = (0..5).map(|_| {
        let mut echo = bare.echo.clone();
        tokio::spawn(async move { echo.unary("hang").await })
    });
    let _callers: Vec<_> = callers.collect();
    assert!(eventually(|| bare.metrics.snapshot().received == 5).await);
    assert_eq!(
        nonzero_samples(&bare.exposition),
        expected(&[
            "server in_flight Unary 5",
            "server msg_received Unary 5",
            "server started Unary 5",
        ])
    );
    bare.connection.cut();
    wait_for(
        &bare.exposition,
        expected(&[
            "server handled Canceled Unary 5",
            "server handling Unary 5",
            "server msg_received Unary 5",
            "server started Unary 5",
        ]),
    )
    .await;
}

// M41
#[tokio::test]
async fn a_reader_that_leaves_an_endless_stream_cancels_it() {
    let mut bare = Bare::new();
    let mut stream = bare.echo.server("head send1000000").await.unwrap();
    for _ in 0..5 {
        stream.message().await.unwrap().unwrap();
    }
    drop(stream);
    let canceled = || bare.metrics.snapshot().handled[1] == 1;
    assert!(eventually(canceled).await);
    let sent = bare.metrics.snapshot().sent;
    assert!((5..1_000_000).contains(&sent), "{sent}");
    bare.wait_for(exactly(&[calls("server", "Server", "Canceled", 1, sent)]))
        .await;
}

// M47
#[tokio::test]
async fn a_client_stream_that_its_sender_abandons_is_canceled() {
    let mut fixture = Fixture::new();
    let (requests, stream) = mpsc::channel(1);
    let mut echo = fixture.echo.clone();
    let caller =
        tokio::spawn(async move { echo.client("readall", ReceiverStream::new(stream)).await });
    for text in texts(2) {
        requests.send(text).await.unwrap();
    }
    assert!(eventually(|| fixture.server.snapshot().received == 2).await);
    caller.abort();
    let server = calls("server", "Client", "Canceled", 2, 0);
    let client = calls("client", "Client", "Canceled", 0, 2);
    wait_for(&fixture.exposition, exactly(&[server, client])).await;
    fixture.echo.unary("head").await.unwrap();
}

// M53
#[tokio::test]
async fn compressed_messages_are_counted_and_measured_as_compressed() {
    let exposition = Exposition::default();
    let server = ServerMetrics::builder()
        .descriptor_set(&echo_descriptor_set())
        .message_sizes(grpc_prometheus::Buckets::A66Bytes)
        .register(&exposition)
        .unwrap();
    let client = ClientMetrics::builder()
        .descriptor_set(&echo_descriptor_set())
        .message_sizes(grpc_prometheus::Buckets::A66Bytes)
        .register(&exposition)
        .unwrap();
    let echo = Echo {
        gzip: true,
        ..Echo::default()
    };
    let mut fixture = Fixture::with(exposition, server, &client, echo);
    let long = Text {
        text: "a".repeat(10_000),
    };
    let requests = stream::iter(vec![long; 3]);
    let stream = fixture
        .echo
        .bidi("readall head send3", requests)
        .await
        .unwrap();
    assert_eq!(drain(stream).await.0, 3);
    let handled = || fixture.server.snapshot().handled[0] == 1;
    assert!(eventually(handled).await);
    let page = page(&fixture.exposition);
    let value = |series: &str| -> f64 {
        let line = page.lines().find(|line| line.starts_with(series)).unwrap();
        line.rsplit_once(' ').unwrap().1.parse().unwrap()
    };
    let sum = value("grpc_server_msg_size_received_bytes_sum{grpc_method=\"Bidi\"");
    assert!(
        (3.0..300.0).contains(&sum),
        "{sum} bytes for 30,000 compressed"
    );
    assert_eq!(
        sum,
        value("grpc_client_msg_size_sent_bytes_sum{grpc_method=\"Bidi\"")
    );
    for family in ["server_msg_received_total", "client_msg_sent_total"] {
        assert_eq!(value(&format!("grpc_{family}{{grpc_method=\"Bidi\"")), 3.0);
    }
    let sent = value("grpc_server_msg_size_sent_bytes_sum{grpc_method=\"Bidi\"");
    assert_eq!(
        sent,
        value("grpc_client_msg_size_received_bytes_sum{grpc_method=\"Bidi\"")
    );
    assert_eq!(
        3.0,
        value("grpc_server_msg_size_sent_bytes_count{grpc_method=\"Bidi\"")
    );
}

// M92
#[tokio::test]
async fn a_call_that_tonic_itself_sheds_is_outside_and_not_counted() {
    let limited = |server: Server| server.concurrency_limit_per_connection(1).load_shed(true);
    let mut bare = Bare::with(Echo::default(), limited);
    let mut echo = bare.echo.clone();
    let parked = tokio::spawn(async move { echo.unary("hang").await });
    assert!(eventually(|| bare.metrics.snapshot().received == 1).await);
    let status = bare.echo.unary("head").await.unwrap_err();
    assert_eq!(status.code(), tonic::Code::ResourceExhausted);
    parked.abort();
    bare.wait_for(exactly(&[calls("server", "Unary", "Canceled", 1, 0)]))
        .await;
}
