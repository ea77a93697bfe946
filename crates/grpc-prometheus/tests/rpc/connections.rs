//! Counted connections of a listener. Needs the feature `connections`.

use futures_util::{StreamExt, stream};
use grpc_prometheus::{Exposition, ServerMetrics};
use tokio::net::TcpListener;
use tonic::transport::{Endpoint, Server};

use crate::{
    caller::EchoClient,
    echo::{Echo, echo_descriptor_set},
    expect::{expected, wait_for},
};

// M94
#[tokio::test]
async fn a_connection_is_open_from_its_accept_until_its_client_leaves() {
    let exposition = Exposition::default();
    let builder = ServerMetrics::builder().descriptor_set(&echo_descriptor_set());
    let metrics = builder.register(&exposition).unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let counted = metrics.clone();
    let accepted = stream::unfold(listener, |listener| async {
        let accepted = listener.accept().await;
        Some((accepted, listener))
    });
    let incoming = accepted.map(move |io| io.map(|(io, _)| counted.connection(io)));
    let server = Server::builder()
        .layer(metrics.layer())
        .add_routes(Echo::default().routes());
    let serving = tokio::spawn(server.serve_with_incoming(incoming.boxed()));
    let mut clients = Vec::new();
    for _ in 0..3 {
        let endpoint = Endpoint::from_shared(format!("http://{address}")).unwrap();
        let mut client = EchoClient::new(endpoint.connect().await.unwrap());
        client.unary("head").await.unwrap();
        clients.push(client);
    }
    clients.pop();
    let lines = expected(&[
        "server connections 2",
        "server connections_closed 1",
        "server connections_opened 3",
        "server handled OK Unary 3",
        "server handling Unary 3",
        "server msg_received Unary 3",
        "server msg_sent Unary 3",
        "server started Unary 3",
    ]);
    wait_for(&exposition, lines).await;
    serving.abort();
}
