//! Messages that the service's codec rejects, and messages that it accepts.

use crate::{
    caller::request,
    echo::{Echo, Text},
    expect::{calls, exactly},
    server::Bare,
};

// M22
#[tokio::test]
async fn an_undecodable_request_is_internal() {
    let bare = Bare::new();
    // A length-delimited field that is longer than the message.
    send(&bare, "/t.v1.Echo/Unary", &[0, 0, 0, 0, 2, 0x0a, 0x7f]).await;
    bare.wait_for(exactly(&[calls("server", "Unary", "Internal", 1, 0)]))
        .await;
}

#[tokio::test]
async fn a_request_with_an_unknown_flag_is_internal() {
    let bare = Bare::new();
    send(&bare, "/t.v1.Echo/Unary", &[7, 0, 0, 0, 0]).await;
    bare.wait_for(exactly(&[calls("server", "Unary", "Internal", 1, 0)]))
        .await;
}

#[tokio::test]
async fn a_request_cut_short_by_its_end_is_internal_and_no_message() {
    let bare = Bare::new();
    send(&bare, "/t.v1.Echo/Unary", &[0, 0, 0, 0, 9, 1, 2]).await;
    bare.wait_for(exactly(&[calls("server", "Unary", "Internal", 0, 0)]))
        .await;
}

#[tokio::test]
async fn a_request_without_a_message_is_internal() {
    let bare = Bare::new();
    send(&bare, "/t.v1.Echo/Unary", &[]).await;
    bare.wait_for(exactly(&[calls("server", "Unary", "Internal", 0, 0)]))
        .await;
}

#[tokio::test]
async fn an_empty_message_is_a_message() {
    let bare = Bare::new();
    send(&bare, "/t.v1.Echo/Unary", &[0, 0, 0, 0, 0]).await;
    bare.wait_for(exactly(&[calls("server", "Unary", "OK", 1, 1)]))
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
    bare.wait_for(exactly(&[calls("server", "Unary", "OutOfRange", 1, 0)]))
        .await;
}

// M24
#[tokio::test]
async fn a_response_that_is_too_large_to_send_is_out_of_range_and_no_message() {
    let echo = Echo {
        max_encoding: Some(8),
        ..Echo::default()
    };
    let mut bare = Bare::with(echo, |server| server);
    let status = bare.echo.unary("head").await.unwrap_err();
    assert_eq!(status.code(), tonic::Code::OutOfRange);
    bare.wait_for(exactly(&[calls("server", "Unary", "OutOfRange", 1, 0)]))
        .await;
}

/// Sends a raw request body.
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
