//! Calls to any path, and their counts.

use std::net::SocketAddr;

use http::uri::PathAndQuery;
use prost::Message;
use tonic::Status;
use tonic::client::Grpc;
use tonic_prost::ProstCodec;
use vitalmesh_tests::{channel, scrape};

/// Makes a unary call to any path.
pub(crate) async fn call<Req, Res>(
    address: SocketAddr,
    path: &'static str,
    request: Req,
) -> Result<Res, Status>
where
    Req: Message + 'static,
    Res: Message + Default + 'static,
{
    let mut grpc = Grpc::new(channel(address));
    grpc.ready().await.unwrap();
    let path = PathAndQuery::from_static(path);
    let codec = ProstCodec::<Req, Res>::default();
    let response = grpc.unary(tonic::Request::new(request), path, codec).await;
    response.map(tonic::Response::into_inner)
}

/// The calls by a name that a service has ended with `code`.
pub(crate) async fn handled(scrape_address: SocketAddr, path: &str, code: &str) -> Option<f64> {
    let (service, method) = path[1..].split_once('/').unwrap();
    let series = format!(
        "grpc_server_handled_total{{grpc_code=\"{code}\",grpc_method=\"{method}\",\
         grpc_service=\"{service}\",grpc_type=\"unary\"}}"
    );
    scrape(scrape_address).await.value(&series)
}
