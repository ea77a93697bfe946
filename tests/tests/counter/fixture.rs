//! Clients of a counter, and its counts.

use std::net::SocketAddr;

use vitalmesh_proto::counter::v1::IncreaseStreamRequest;
use vitalmesh_proto::counter::v1::counter_service_client::CounterServiceClient;
use vitalmesh_tests::{channel, scrape};

pub(crate) type Client<T = tonic::transport::Channel> = CounterServiceClient<T>;

pub(crate) fn client(address: SocketAddr) -> Client {
    Client::new(channel(address))
}

pub(crate) fn num(num: i32) -> IncreaseStreamRequest {
    IncreaseStreamRequest { num, request_id: 0 }
}

/// The value of a family for one method, 0 where it is missing. `code` is empty, or a label and a
/// comma.
pub(crate) async fn counted(
    address: SocketAddr,
    family: &str,
    code: &str,
    method: (&str, &str),
) -> f64 {
    let (method, kind) = method;
    let series = format!(
        "grpc_server_{family}_total{{{code}grpc_method=\"{method}\",\
         grpc_service=\"vitalmesh.counter.v1.CounterService\",grpc_type=\"{kind}\"}}"
    );
    scrape(address).await.value(&series).unwrap_or_default()
}

pub(crate) async fn counts(address: SocketAddr, method: (&str, &str)) -> [f64; 4] {
    let ok = "grpc_code=\"OK\",";
    [
        counted(address, "started", "", method).await,
        counted(address, "handled", ok, method).await,
        counted(address, "msg_received", "", method).await,
        counted(address, "msg_sent", "", method).await,
    ]
}
