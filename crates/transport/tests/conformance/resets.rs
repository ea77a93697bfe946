//! RST_STREAM of the peer, with each error code.

use tonic::Code;

use crate::client::{dial, read, unary};
use crate::peer::MESSAGE;
use crate::stack::Stack;

/// gRPC's mapping of HTTP/2 error codes. It has no line for STREAM_CLOSED, HTTP_1_1_REQUIRED and
/// codes of the future; these are grpc-go's.
const CODES: [(u32, &str, Code); 15] = [
    (0x0, "NO_ERROR", Code::Internal),
    (0x1, "PROTOCOL_ERROR", Code::Internal),
    (0x2, "INTERNAL_ERROR", Code::Internal),
    (0x3, "FLOW_CONTROL_ERROR", Code::Internal),
    (0x4, "SETTINGS_TIMEOUT", Code::Internal),
    (0x5, "STREAM_CLOSED", Code::Internal),
    (0x6, "FRAME_SIZE_ERROR", Code::Internal),
    (0x7, "REFUSED_STREAM", Code::Unavailable),
    (0x8, "CANCEL", Code::Cancelled),
    (0x9, "COMPRESSION_ERROR", Code::Internal),
    (0xa, "CONNECT_ERROR", Code::Internal),
    (0xb, "ENHANCE_YOUR_CALM", Code::ResourceExhausted),
    (0xc, "INADEQUATE_SECURITY", Code::PermissionDenied),
    (0xd, "HTTP_1_1_REQUIRED", Code::Internal),
    (0xff, "a code of the future", Code::Unknown),
];

/// Compares all codes, so that a failure names each that differs.
fn compare(observed: &[Option<Code>]) {
    let pairs = CODES.iter().zip(observed);
    let wrong = pairs.filter(|((_, _, expected), observed)| Some(*expected) != **observed);
    let wrong: Vec<_> = wrong
        .map(|((_, name, _), observed)| match observed {
            Some(code) => format!("{name}: {code:?}"),
            None => format!("{name}: no error"),
        })
        .collect();
    assert_eq!(observed.len(), CODES.len());
    assert!(wrong.is_empty(), "{}", wrong.join(", "));
}

pub(crate) async fn a_reset_before_the_response_has_the_code_of_the_protocol<S: Stack>() {
    let mut observed = Vec::new();
    for (reset, ..) in CODES {
        let (client, mut wire) = dial::<S>();
        let call = client.start(unary());
        let mut peer = wire.accept().await;
        let stream = peer.whole_request().await;
        peer.reset(stream, reset);
        observed.push(match call.await.unwrap() {
            Ok(_) => None,
            Err(status) => Some(status.code()),
        });
    }
    compare(&observed);
}

pub(crate) async fn a_reset_during_the_response_has_the_code_of_the_protocol<S: Stack>() {
    let mut observed = Vec::new();
    for (reset, ..) in CODES {
        let (client, mut wire) = dial::<S>();
        let call = client.open(unary());
        let mut peer = wire.accept().await;
        let stream = peer.whole_request().await;
        peer.head(stream);
        peer.data(stream, MESSAGE);
        let response = call.await.unwrap().unwrap();
        peer.reset(stream, reset);
        observed.push(match read(response).await {
            Ok(_) => None,
            Err(status) => Some(status.code()),
        });
    }
    compare(&observed);
}

pub(crate) async fn a_failure_is_a_status_whatever_tonic_knows<S: Stack>() {
    use http_body_util::BodyExt;
    use tower::{Service, ServiceExt};
    let (mut transport, mut wire) = S::dial();
    let mut other = transport.clone();
    let failing = tokio::spawn(async move {
        let ready = other.ready().await.map_err(Into::into).unwrap();
        ready.call(unary()).await.map_err(Into::into).err().unwrap()
    });
    let mut peer = wire.accept().await;
    let stream = peer.whole_request().await;
    peer.reset(stream, 1);
    let error = failing.await.unwrap();
    assert!(error.is::<tonic::Status>(), "the future's error: {error:?}");
    let responding = tokio::spawn(async move {
        let ready = transport.ready().await.map_err(Into::into).unwrap();
        ready.call(unary()).await.map_err(Into::into).unwrap()
    });
    let stream = peer.whole_request().await;
    peer.head(stream);
    let response = responding.await.unwrap();
    peer.reset(stream, 1);
    let error = response.into_body().collect().await.map_err(Into::into);
    let error = error.err().unwrap();
    assert!(error.is::<tonic::Status>(), "the body's error: {error:?}");
}
