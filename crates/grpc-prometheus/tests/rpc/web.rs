//! grpc-web, inside and outside of the layer.

use std::convert::Infallible;

use bytes::Bytes;
use grpc_prometheus::RequestBody;
use http::{Request, Response};
use http_body_util::{BodyExt, Full};
use tonic::body::Body;
use tonic_web::GrpcWebLayer;
use tower::{ServiceBuilder, ServiceExt, service_fn};

use crate::{
    duplex::server,
    echo::Echo,
    expect::{calls, exactly, nonzero_samples},
    layers::grpc,
};

const WEB_TRAILERS: &[u8] = b"\x80\0\0\0\x0fgrpc-status:5\r\n";

fn web_request(content_type: &str) -> Request<Full<Bytes>> {
    let body = Full::new(Bytes::from_static(b"\0\0\0\0\0"));
    let request = Request::post("/t.v1.Echo/Unary").header("content-type", content_type);
    request.header("x-script", "head").body(body).unwrap()
}

// M95
#[tokio::test]
async fn inside_grpc_web_everything_is_as_over_http2() {
    for (content_type, body) in [
        ("application/grpc-web+proto", &b"\0\0\0\0\0"[..]),
        ("application/grpc-web-text+proto", b"AAAAAAA="),
    ] {
        let (exposition, metrics) = server();
        let service = ServiceBuilder::new()
            .layer(GrpcWebLayer::new())
            .layer(metrics.layer())
            .service(Echo::default());
        let request = Request::post("/t.v1.Echo/Unary")
            .header("content-type", content_type)
            .header("x-script", "head")
            .body(Body::new(Full::new(Bytes::from_static(body))));
        let response = service.oneshot(request.unwrap()).await.unwrap();
        response.into_body().collect().await.unwrap();
        assert_eq!(
            nonzero_samples(&exposition),
            exactly(&[calls("server", "Unary", "OK", 1, 1)])
        );
    }
}

// M96
#[tokio::test]
async fn outside_grpc_web_the_status_is_read_from_the_frame_of_trailers() {
    let (exposition, metrics) = server();
    let service = ServiceBuilder::new()
        .layer(metrics.layer())
        .layer(GrpcWebLayer::new())
        .service(Echo::default());
    let response = service
        .clone()
        .oneshot(web_request("application/grpc-web+proto").map(Body::new));
    let body = response
        .await
        .unwrap()
        .into_body()
        .collect()
        .await
        .unwrap()
        .to_bytes();
    assert!(body.windows(12).any(|w| w == b"grpc-status:"), "{body:?}");
    assert_eq!(
        nonzero_samples(&exposition),
        exactly(&[calls("server", "Unary", "OK", 1, 1)])
    );

    // The layer cannot read base64, so it does not count the call.
    let text = Request::post("/t.v1.Echo/Unary")
        .header("content-type", "application/grpc-web-text+proto")
        .body(Body::new(Full::new(Bytes::from_static(b"AAAAAAA="))));
    service.oneshot(text.unwrap()).await.unwrap();
    assert_eq!(
        nonzero_samples(&exposition),
        exactly(&[calls("server", "Unary", "OK", 1, 1)])
    );
}

#[tokio::test]
async fn a_failure_in_a_grpc_web_frame_is_not_ok_however_it_is_cut() {
    for cut in 0..WEB_TRAILERS.len() {
        let content_type = ["application/grpc-web", "Application/gRPC-Web+proto"][cut % 2];
        let (exposition, metrics) = server();
        let (head, tail) = WEB_TRAILERS.split_at(cut);
        let service = ServiceBuilder::new()
            .layer(metrics.layer())
            .service(service_fn(
                move |_: Request<RequestBody<Body>>| async move {
                    let frames = [head, tail].map(|part| {
                        Ok::<_, Infallible>(http_body::Frame::data(Bytes::from_static(part)))
                    });
                    let body = http_body_util::StreamBody::new(tokio_stream::iter(frames));
                    let head = Response::builder().header("content-type", content_type);
                    Ok::<_, Infallible>(head.body(body).unwrap())
                },
            ));
        let request = grpc("/t.v1.Echo/Unary").body(Body::empty()).unwrap();
        let response = service.oneshot(request).await.unwrap();
        response.into_body().collect().await.unwrap();
        assert_eq!(
            nonzero_samples(&exposition),
            exactly(&[calls("server", "Unary", "NotFound", 0, 0)])
        );
    }
}
