//! Open calls and open connections of a server.

use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;

use crate::{
    echo::texts,
    expect::{calls, eventually, exactly, expected, nonzero_samples, page},
    server::Bare,
};

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
    assert!(page(&bare.exposition).contains(&format!("{line} 10\n")));
    callers.iter().for_each(tokio::task::JoinHandle::abort);
    bare.in_flight(0).await;
    assert!(page(&bare.exposition).contains(&format!("{line} 0\n")));
}

// M90
#[tokio::test]
async fn a_graceful_shutdown_leaves_nothing_in_flight() {
    let mut bare = Bare::new();
    let (requests, incoming) = mpsc::channel(1);
    requests.send(texts(1).remove(0)).await.unwrap();
    let mut echo = bare.echo.clone();
    let incoming = ReceiverStream::new(incoming);
    let ok = tokio::spawn(async move { echo.client("readall", incoming).await });
    let mut echo = bare.echo.clone();
    let never = tokio::spawn(async move { echo.unary("hang").await });
    assert!(eventually(|| bare.metrics.snapshot().received == 2).await);
    bare.connection.stop();
    drop(requests);
    ok.await.unwrap().unwrap();
    never.abort();
    (&mut bare.connection.serving).await.unwrap().unwrap();
    let lines = [
        calls("server", "Client", "OK", 1, 1),
        calls("server", "Unary", "Canceled", 1, 0),
    ];
    assert_eq!(
        nonzero_samples(&bare.exposition),
        exactly(&lines),
        "in the last scrape"
    );
}

// M94
#[tokio::test]
async fn connections_are_counted_while_they_are_open() {
    let bare = Bare::new();
    assert!(!page(&bare.exposition).contains("grpc_server_connections"));
    let mut open: Vec<_> = (0..3).map(|io| bare.metrics.connection(io)).collect();
    assert_eq!(*open[2].get_ref(), 2);
    open.pop();
    assert_eq!(
        nonzero_samples(&bare.exposition),
        expected(&[
            "server connections 2",
            "server connections_closed 1",
            "server connections_opened 3",
        ])
    );
}
