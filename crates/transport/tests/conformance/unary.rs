//! One call: what its response is made of.

use std::time::Duration;

use bytes::Bytes;
use http::StatusCode;
use http_body_util::{BodyExt, Full};
use tonic::Code;
use tonic::body::Body;

use crate::client::{dial, read, request, unary};
use crate::frame::{Frame, fields, flag, kind};
use crate::peer::MESSAGE;
use crate::served;
use crate::stack::Stack;

pub(crate) async fn the_status_arrives_in_the_trailers<S: Stack>() {
    let (client, mut wire) = dial::<S>();
    let call = client.start(unary());
    let mut peer = wire.accept().await;
    let stream = peer.whole_request().await;
    peer.head(stream);
    peer.data(stream, MESSAGE);
    let trailers = [
        ("grpc-status", "5"),
        ("grpc-message", "no such name"),
        ("x-cost", "7"),
    ];
    peer.headers(stream, flag::END_STREAM, &trailers);
    let answer = call.await.unwrap().unwrap();
    assert_eq!(answer.headers["content-type"], "application/grpc");
    assert!(!answer.headers.contains_key("grpc-status"));
    assert_eq!(answer.data, MESSAGE);
    for (name, value) in trailers {
        assert_eq!(answer.trailers[name], value);
    }
}

pub(crate) async fn a_response_of_headers_alone_carries_the_status<S: Stack>() {
    let (client, mut wire) = dial::<S>();
    let call = client.open(unary());
    let mut peer = wire.accept().await;
    let stream = peer.whole_request().await;
    let alone = [(":status", "200"), ("grpc-status", "12")];
    peer.headers(stream, flag::END_STREAM, &alone);
    let response = call.await.unwrap().unwrap();
    assert_eq!(response.headers()["grpc-status"], "12");
    assert!(http_body::Body::is_end_stream(response.body()));
    assert!(response.into_body().frame().await.is_none());
}

pub(crate) async fn a_mebibyte_arrives_whole_in_both_directions<S: Stack>() {
    let (client, mut wire) = dial::<S>();
    let sent: Bytes = (0..1 << 20_u32).map(|n| (n % 251) as u8).collect();
    let body = Body::new(Full::new(sent.clone()));
    let call = client.start(request("/test.Echo/Unary", body));
    served::serve(wire.io().await, served::echo);
    let answer = call.await.unwrap().unwrap();
    assert_eq!(answer.code(), Code::Ok);
    assert!(answer.data == sent, "{} bytes came back", answer.data.len());
}

pub(crate) async fn padding_and_continuations_are_taken_off<S: Stack>() {
    let (client, mut wire) = dial::<S>();
    let call = client.start(unary());
    let mut peer = wire.accept().await;
    let stream = peer.whole_request().await;
    let block = fields(&[(":status", "200"), ("x-long", &"v".repeat(3000))]);
    let mut parts = block.chunks(1024).map(<[u8]>::to_vec);
    let first = [vec![3], parts.next().unwrap(), vec![0; 3]].concat();
    peer.send(&Frame::new(kind::HEADERS, flag::PADDED, stream, first));
    let second = parts.next().unwrap();
    peer.send(&Frame::new(kind::CONTINUATION, 0, stream, second));
    let last = parts.next().unwrap();
    let end = flag::END_HEADERS;
    peer.send(&Frame::new(kind::CONTINUATION, end, stream, last));
    let padded = [&[200], MESSAGE, &[0; 200]].concat();
    peer.send(&Frame::new(kind::DATA, flag::PADDED, stream, padded));
    peer.trailers(stream, "0");
    let answer = call.await.unwrap().unwrap();
    assert_eq!(answer.headers["x-long"].len(), 3000);
    assert_eq!(answer.data, MESSAGE);
    assert_eq!(answer.code(), Code::Ok);
}

pub(crate) async fn an_interim_response_is_skipped<S: Stack>() {
    let (client, mut wire) = dial::<S>();
    let call = client.start(unary());
    let mut peer = wire.accept().await;
    let stream = peer.whole_request().await;
    peer.headers(stream, 0, &[(":status", "103"), ("link", "</>")]);
    peer.answer(stream);
    let answer = call.await.unwrap().unwrap();
    assert!(!answer.headers.contains_key("link"));
    assert_eq!((&answer.data[..], answer.code()), (MESSAGE, Code::Ok));
}

pub(crate) async fn a_response_that_is_not_grpc_passes_through<S: Stack>() {
    let (client, mut wire) = dial::<S>();
    let call = client.open(unary());
    let mut peer = wire.accept().await;
    let stream = peer.whole_request().await;
    let proxy = [(":status", "503"), ("content-type", "text/html")];
    peer.headers(stream, 0, &proxy);
    peer.send(&Frame::new(kind::DATA, flag::END_STREAM, stream, "busy"));
    let response = call.await.unwrap().unwrap();
    assert_eq!(response.status(), StatusCode::SERVICE_UNAVAILABLE);
    let answer = read(response).await.unwrap();
    assert_eq!(answer.data, "busy");
    assert!(answer.trailers.is_empty());
}

pub(crate) async fn a_call_has_no_deadline_but_its_callers<S: Stack>() {
    let (client, mut wire) = dial::<S>();
    let mut late = unary();
    late.headers_mut()
        .insert("grpc-timeout", "1m".parse().unwrap());
    let call = client.start(late);
    let mut peer = wire.accept().await;
    let stream = peer.whole_request().await;
    tokio::time::sleep(Duration::from_secs(3600)).await;
    peer.answer(stream);
    assert_eq!(call.await.unwrap().unwrap().code(), Code::Ok);
}
