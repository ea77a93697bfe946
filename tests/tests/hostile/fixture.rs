//! A leaf, the calls that it has to serve, and requests without a client's manners.

use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::Full;
use hyper::body::Incoming;
use tonic::Code;
use tonic::body::Body;
use tower_service::Service;
use vitalmesh_chassis::Running;
use vitalmesh_proto::revert_name::v1::RevertNameRequest;
use vitalmesh_proto::revert_name::v1::revert_name_service_client::RevertNameServiceClient;
use vitalmesh_tests::{Wire, revert_name, within};

pub(crate) const METHOD: &str = "/vitalmesh.revert_name.v1.RevertNameService/RevertName";
pub(crate) const PATIENCE: Duration = Duration::from_secs(10);

pub(crate) async fn leaf(flags: &[&str]) -> Running {
    revert_name(flags).start().await.unwrap()
}

pub(crate) async fn revert(wire: &Wire, name: &str, delay: i32) -> Result<String, Code> {
    let mut client = RevertNameServiceClient::with_origin(wire.clone(), wire.origin());
    let name = name.to_owned();
    let response = client.revert_name(RevertNameRequest { name, delay }).await;
    response
        .map(|response| response.into_inner().name)
        .map_err(|status| status.code())
}

/// The service still serves others.
pub(crate) async fn assert_serves(leaf: &Running) {
    let wire = Wire::connect(leaf.addresses().grpc).await;
    assert_eq!(
        within(PATIENCE, revert(&wire, "Ana", 0)).await.0,
        Ok("anA".to_owned())
    );
}

pub(crate) async fn raw(
    wire: &Wire,
    request: http::request::Builder,
    body: &[u8],
) -> Response<Incoming> {
    let body = Body::new(Full::new(Bytes::copy_from_slice(body)));
    let request = request.body(body).unwrap();
    within(PATIENCE, wire.clone().call(request))
        .await
        .0
        .unwrap()
}

pub(crate) fn post(wire: &Wire, content_type: &str) -> http::request::Builder {
    let uri = format!(
        "{}{METHOD}",
        wire.origin().to_string().trim_end_matches('/')
    );
    Request::post(uri)
        .header("content-type", content_type)
        .header("te", "trailers")
}
