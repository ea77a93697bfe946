//! What only the server's side can meet.

use std::time::Duration;

use futures_util::stream;
use grpc_prometheus::{ClientMetrics, ServerMetrics};
use prometheus::Registry;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::transport::Server;

use crate::{
    echo::{
        Connection, Echo, EchoClient, Fixture, Text, drain, echo_descriptor_set, request, texts,
    },
    expect::{calls, eventually, expected, moved, only, page, settled},
};

/// A metered server whose client is not metered.
struct Bare {
    registry: Registry,
    metrics: ServerMetrics,
    connection: Connection,
    echo: EchoClient<tonic::transport::Channel>,
}

impl Bare {
    fn new() -> Self {
        Self::with(Echo::default(), |server| server)
    }

    fn with(echo: Echo, configure: impl FnOnce(Server) -> Server) -> Self {
        let registry = Registry::new();
        let metrics = ServerMetrics::builder()
            .descriptor_set(&echo_descriptor_set())
            .register(&registry)
            .unwrap();
        let server = configure(Server::builder()).layer(metrics.layer());
        let connection = Connection::new(server, echo.routes());
        let echo = EchoClient::new(connection.channel.clone());
        Self {
            registry,
            metrics,
            connection,
            echo,
        }
    }

    async fn settled(&self, expected: Vec<String>) {
        settled(&self.registry, expected).await;
    }

    async fn in_flight(&self, calls: u64) {
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
    settled(&fixture.registry, only(&[lines])).await;
}

// M19
#[tokio::test]
async fn handling_time_is_that_of_the_handler() {
    let mut bare = Bare::new();
    bare.echo.unary("sleep30 head").await.unwrap();
    let page = page(&bare.registry);
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

// M20
#[tokio::test]
async fn a_panic_is_internal_and_the_connection_lives() {
    let mut bare = Bare::new();
    bare.echo.unary("panic").await.unwrap_err();
    bare.settled(only(&[calls("server", "Unary", "Internal", 1, 0)]))
        .await;
    bare.echo.unary("head").await.unwrap();
    bare.settled(expected(&[
        "server handled Internal Unary 1",
        "server handled OK Unary 1",
        "server handling Unary 2",
        "server msg_received Unary 2",
        "server msg_sent Unary 1",
        "server started Unary 2",
    ]))
    .await;
}

// M43
#[tokio::test]
async fn a_panic_of_the_stream_is_internal() {
    let mut bare = Bare::new();
    let stream = bare.echo.server("head send2 sleep1 panic").await.unwrap();
    let (read, end) = drain(stream).await;
    assert_eq!(read, 2);
    end.unwrap_err();
    bare.settled(only(&[calls("server", "Server", "Internal", 1, 2)]))
        .await;
}

// M22
#[tokio::test]
async fn an_undecodable_request_is_internal() {
    let bare = Bare::new();
    // A length-delimited field that is longer than the message.
    send(&bare, "/t.v1.Echo/Unary", &[0, 0, 0, 0, 2, 0x0a, 0x7f]).await;
    bare.settled(only(&[calls("server", "Unary", "Internal", 1, 0)]))
        .await;
}

#[tokio::test]
async fn a_request_with_an_unknown_flag_is_internal() {
    let bare = Bare::new();
    send(&bare, "/t.v1.Echo/Unary", &[7, 0, 0, 0, 0]).await;
    bare.settled(only(&[calls("server", "Unary", "Internal", 1, 0)]))
        .await;
}

#[tokio::test]
async fn a_request_cut_short_by_its_end_is_internal_and_no_message() {
    let bare = Bare::new();
    send(&bare, "/t.v1.Echo/Unary", &[0, 0, 0, 0, 9, 1, 2]).await;
    bare.settled(only(&[calls("server", "Unary", "Internal", 0, 0)]))
        .await;
}

#[tokio::test]
async fn a_request_without_a_message_is_internal() {
    let bare = Bare::new();
    send(&bare, "/t.v1.Echo/Unary", &[]).await;
    bare.settled(only(&[calls("server", "Unary", "Internal", 0, 0)]))
        .await;
}

#[tokio::test]
async fn an_empty_message_is_a_message() {
    let bare = Bare::new();
    send(&bare, "/t.v1.Echo/Unary", &[0, 0, 0, 0, 0]).await;
    bare.settled(only(&[calls("server", "Unary", "OK", 1, 1)]))
        .await;
}

// M23
#[tokio::test]
async fn an_oversize_request_is_out_of_range() {
    let echo = Echo {
        max_decoding: Some(8),
        ..Echo::default()
    };
    let mut bare = Bare::with(echo, |server| server);
    let mut long = request(Text::default(), "head");
    long.get_mut().text = "more than eight bytes".into();
    bare.echo.unary_request(long).await.unwrap_err();
    bare.settled(only(&[calls("server", "Unary", "OutOfRange", 1, 0)]))
        .await;
}

// M26 M75
#[tokio::test]
async fn a_caller_that_drops_the_future_cancels_on_both_sides() {
    let mut fixture = Fixture::new();
    let call = fixture.echo.unary("hang");
    let parked = async {
        let server = || fixture.server.snapshot().received == 1;
        assert!(eventually(server).await);
    };
    tokio::select! {
        _ = call => panic!("answered"),
        () = parked => {}
    }
    let server = calls("server", "Unary", "Canceled", 1, 0);
    let client = calls("client", "Unary", "Canceled", 0, 1);
    settled(&fixture.registry, only(&[server, client])).await;
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
        moved(&bare.registry),
        expected(&[
            "server in_flight Unary 5",
            "server msg_received Unary 5",
            "server started Unary 5",
        ])
    );
    bare.connection.cut();
    settled(
        &bare.registry,
        expected(&[
            "server handled Canceled Unary 5",
            "server handling Unary 5",
            "server msg_received Unary 5",
            "server started Unary 5",
        ]),
    )
    .await;
}

// M28: tonic's own timer sits outside the layer and drops the future.
#[tokio::test]
async fn a_deadline_that_passes_outside_is_deadline_exceeded() {
    let mut bare = Bare::new();
    let mut late = request(Text::default(), "hang");
    // Set by hand: `set_timeout` would arm the client's timer too.
    late.metadata_mut()
        .insert("grpc-timeout", "50m".parse().unwrap());
    let status = bare.echo.unary_request(late).await.unwrap_err();
    assert_eq!(status.code(), tonic::Code::Cancelled);
    bare.settled(only(&[calls("server", "Unary", "DeadlineExceeded", 1, 0)]))
        .await;
}

#[tokio::test]
async fn a_deadline_bounds_a_stream_that_its_caller_leaves_late() {
    let mut bare = Bare::new();
    let mut late = request(Text::default(), "head send1 hang");
    late.metadata_mut()
        .insert("grpc-timeout", "20m".parse().unwrap());
    let mut stream = bare.echo.server_request(late).await.unwrap();
    assert!(stream.message().await.unwrap().is_some());
    tokio::time::sleep(Duration::from_millis(25)).await;
    drop(stream);
    bare.settled(only(&[calls("server", "Server", "DeadlineExceeded", 1, 1)]))
        .await;
}

// M31
#[tokio::test]
async fn a_malformed_deadline_is_none() {
    let mut bare = Bare::new();
    let mut call = request(Text::default(), "hang");
    call.metadata_mut()
        .insert("grpc-timeout", "5x".parse().unwrap());
    let mut caller = bare.echo.clone();
    let caller = tokio::spawn(async move { caller.unary_request(call).await });
    bare.in_flight(1).await;
    caller.abort();
    bare.settled(only(&[calls("server", "Unary", "Canceled", 1, 0)]))
        .await;
    let mut call = request(Text::default(), "head");
    call.metadata_mut()
        .insert("grpc-timeout", "5x".parse().unwrap());
    bare.echo.unary_request(call).await.unwrap();
    let snapshot = bare.metrics.snapshot();
    assert_eq!((snapshot.handled[0], snapshot.handled[4]), (1, 0));
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
    bare.settled(only(&[calls("server", "Server", "Canceled", 1, sent)]))
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
    settled(&fixture.registry, only(&[server, client])).await;
    fixture.echo.unary("head").await.unwrap();
}

#[tokio::test]
async fn a_bidi_stream_that_its_caller_leaves_is_canceled_with_what_has_passed() {
    let mut fixture = Fixture::new();
    let (requests, incoming) = mpsc::channel(2);
    for text in texts(2) {
        requests.send(text).await.unwrap();
    }
    let incoming = ReceiverStream::new(incoming);
    let mut stream = fixture
        .echo
        .bidi("read2 head send3 hang", incoming)
        .await
        .unwrap();
    for _ in 0..3 {
        stream.message().await.unwrap().unwrap();
    }
    // hyper resets a stream when both its halves are gone, and not before.
    drop((stream, requests));
    let server = calls("server", "Bidi", "Canceled", 2, 3);
    let client = calls("client", "Bidi", "Canceled", 3, 2);
    settled(&fixture.registry, only(&[server, client])).await;
}

// M53
#[tokio::test]
async fn compressed_messages_are_counted_and_measured_as_compressed() {
    let registry = Registry::new();
    let server = ServerMetrics::builder()
        .descriptor_set(&echo_descriptor_set())
        .message_sizes(grpc_prometheus::Buckets::A66Bytes)
        .register(&registry)
        .unwrap();
    let client = ClientMetrics::builder()
        .descriptor_set(&echo_descriptor_set())
        .message_sizes(grpc_prometheus::Buckets::A66Bytes)
        .register(&registry)
        .unwrap();
    let echo = Echo {
        gzip: true,
        ..Echo::default()
    };
    let mut fixture = Fixture::with(registry, server, &client, echo);
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
    let page = page(&fixture.registry);
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

// M84
#[tokio::test]
async fn parked_calls_are_in_flight_until_they_are_released() {
    let bare = Bare::new();
    let callers = (0..10).map(|_| {
        let mut echo = bare.echo.clone();
        tokio::spawn(async move { echo.unary("hang").await })
    });
    let callers: Vec<_> = callers.collect();
    assert!(eventually(|| bare.metrics.snapshot().received == 10).await);
    let line = "grpc_server_in_flight{grpc_method=\"Unary\",grpc_service=\"t.v1.Echo\",grpc_type=\"unary\"}";
    assert!(page(&bare.registry).contains(&format!("{line} 10\n")));
    callers.iter().for_each(tokio::task::JoinHandle::abort);
    bare.in_flight(0).await;
    assert!(page(&bare.registry).contains(&format!("{line} 0\n")));
}

// M90
#[tokio::test]
async fn a_graceful_shutdown_leaves_nothing_in_flight() {
    let mut bare = Bare::new();
    let mut echo = bare.echo.clone();
    let ok = tokio::spawn(async move { echo.unary("sleep20 head").await });
    let mut echo = bare.echo.clone();
    let never = tokio::spawn(async move { echo.unary("hang").await });
    assert!(eventually(|| bare.metrics.snapshot().received == 2).await);
    bare.connection.stop();
    ok.await.unwrap().unwrap();
    never.abort();
    (&mut bare.connection.serving).await.unwrap().unwrap();
    let lines = [
        "server handled Canceled Unary 1",
        "server handled OK Unary 1",
        "server handling Unary 2",
        "server msg_received Unary 2",
        "server msg_sent Unary 1",
        "server started Unary 2",
    ];
    assert_eq!(
        moved(&bare.registry),
        expected(&lines),
        "in the last scrape"
    );
}

// M94
#[tokio::test]
async fn connections_are_counted_while_they_are_open() {
    let bare = Bare::new();
    assert!(!page(&bare.registry).contains("grpc_server_connections"));
    let mut open: Vec<_> = (0..3).map(|io| bare.metrics.connection(io)).collect();
    assert_eq!(*open[2].get_ref(), 2);
    open.pop();
    assert_eq!(
        moved(&bare.registry),
        expected(&[
            "server connections 2",
            "server connections_closed 1",
            "server connections_opened 3",
        ])
    );
}

/// Sends a request body as it is.
async fn send(bare: &Bare, path: &str, body: &[u8]) {
    use http_body_util::{BodyExt, Full};
    use tower::ServiceExt;

    let body = Full::new(bytes::Bytes::copy_from_slice(body));
    let request = http::Request::post(path)
        .header("content-type", "application/grpc")
        .header("x-script", "head")
        .body(tonic::body::Body::new(body))
        .unwrap();
    let response = bare
        .connection
        .channel
        .clone()
        .oneshot(request)
        .await
        .unwrap();
    response.into_body().collect().await.unwrap();
}
