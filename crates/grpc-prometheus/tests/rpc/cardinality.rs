//! A server's own services that break the number of messages that a kind of call allows.

use std::convert::Infallible;

use bytes::Bytes;
use grpc_prometheus::RequestBody;
use http::{HeaderMap, Request, Response};
use http_body::Frame;
use http_body_util::{BodyExt, StreamBody};
use tonic::body::Body;
use tower::{Layer, ServiceExt, service_fn};

use crate::{
    duplex::server,
    expect::{calls, exactly, nonzero_samples},
    layers::grpc,
};

const MESSAGE: &[u8] = b"\0\0\0\0\x01x";

/// Responds with these bytes and this status, and returns the code that counts.
async fn code(method: &str, in_head: bool, bytes: &'static [u8], sent: u64) -> String {
    let (exposition, metrics) = server();
    let service = service_fn(move |_: Request<RequestBody<Body>>| async move {
        let status = ("grpc-status".parse().unwrap(), "0".parse().unwrap());
        let status = HeaderMap::from_iter([status]);
        let mut response = Response::new(());
        let mut frames = vec![Ok::<_, Infallible>(Frame::data(Bytes::from_static(bytes)))];
        if in_head {
            *response.headers_mut() = status;
        } else {
            frames.push(Ok(Frame::trailers(status)));
        }
        Ok::<_, Infallible>(response.map(|()| StreamBody::new(tokio_stream::iter(frames))))
    });
    let request = grpc(&format!("/t.v1.Echo/{method}")).body(Body::empty());
    let response = metrics.layer().layer(service).oneshot(request.unwrap());
    _ = response.await.unwrap().into_body().collect().await.unwrap();
    let samples = nonzero_samples(&exposition);
    let codes = ["OK", "Internal", "Unknown"];
    let counted = |code: &&&str| samples == exactly(&[calls("server", method, code, 0, sent)]);
    let code = codes.iter().find(counted);
    (*code.unwrap_or_else(|| panic!("{samples:?}"))).to_owned()
}

#[tokio::test]
async fn an_ok_of_a_single_response_takes_exactly_one_whole_message() {
    let two = b"\0\0\0\0\x01x\0\0\0\0\0";
    let cut = b"\0\0\0\0\x01x\0\0\0";
    for method in ["Unary", "Client"] {
        for in_head in [false, true] {
            assert_eq!(code(method, in_head, b"", 0).await, "Internal");
            assert_eq!(code(method, in_head, MESSAGE, 1).await, "OK");
            assert_eq!(code(method, in_head, two, 2).await, "Internal");
            assert_eq!(code(method, in_head, cut, 1).await, "Internal");
        }
    }
}

#[tokio::test]
async fn an_ok_of_a_response_stream_takes_any_number_of_whole_messages() {
    let two = b"\0\0\0\0\x01x\0\0\0\0\0";
    let cut = b"\0\0\0\0\x01x\0\0\0";
    for method in ["Server", "Bidi"] {
        assert_eq!(code(method, false, b"", 0).await, "OK");
        assert_eq!(code(method, false, MESSAGE, 1).await, "OK");
        assert_eq!(code(method, false, two, 2).await, "OK");
        assert_eq!(code(method, false, cut, 1).await, "Internal");
    }
}
