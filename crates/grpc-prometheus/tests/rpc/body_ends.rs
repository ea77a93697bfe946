//! Responses that end with their head, and calls that are never polled.

use std::convert::Infallible;

use bytes::Bytes;
use grpc_prometheus::RequestBody;
use http::{Request, Response};
use http_body_util::Empty;
use tonic::body::Body;
use tower::{Service, ServiceBuilder, ServiceExt, service_fn};

use crate::{expect::expected, unknown::Answer};

// M32 M33
#[tokio::test]
async fn a_ready_response_and_an_unpolled_future_are_recorded_once() {
    let answer = Answer::new("5");
    answer.call("/t.v1.Echo/Unary").await;
    let mut service = ServiceBuilder::new()
        .layer(answer.metrics.layer())
        .service(service_fn(|_: Request<RequestBody<Body>>| async {
            Ok::<_, Infallible>(Response::new(Empty::<Bytes>::new()))
        }));
    let request = Request::post("/t.v1.Echo/Unary")
        .header("content-type", "application/grpc")
        .body(Body::empty());
    let future = service.ready().await.unwrap().call(request.unwrap());
    assert_eq!(answer.metrics.snapshot().started, 2, "started by `call`");
    drop(future);
    assert_eq!(
        answer.nonzero_samples(),
        expected(&[
            "server handled Canceled Unary 1",
            "server handled NotFound Unary 1",
            "server handling Unary 2",
            "server started Unary 2",
        ])
    );
}

#[tokio::test]
async fn a_body_at_its_end_is_recorded_at_the_head_since_it_is_never_polled() {
    let answer = Answer::new("0");
    let service = ServiceBuilder::new()
        .layer(answer.metrics.layer())
        .service(service_fn(|_: Request<RequestBody<Body>>| async {
            Ok::<_, Infallible>(Response::new(Empty::<Bytes>::new()))
        }));
    let request = Request::post("/t.v1.Echo/Unary").header("content-type", "application/grpc");
    let response = service.oneshot(request.body(Body::empty()).unwrap()).await;
    drop(response.unwrap());
    assert_eq!(
        answer.nonzero_samples(),
        expected(&[
            "server handled Unknown Unary 1",
            "server handling Unary 1",
            "server started Unary 1",
        ])
    );
}

/// Reports its end from the second call of `is_end_stream` on.
#[derive(Default)]
struct Closing(std::sync::atomic::AtomicBool);

impl http_body::Body for Closing {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        self: std::pin::Pin<&mut Self>,
        _: &mut std::task::Context<'_>,
    ) -> std::task::Poll<Option<Result<http_body::Frame<Bytes>, Infallible>>> {
        std::task::Poll::Ready(None)
    }

    fn is_end_stream(&self) -> bool {
        self.0.swap(true, std::sync::atomic::Ordering::Relaxed)
    }
}

#[tokio::test]
async fn a_body_does_not_claim_its_end_before_the_call_is_recorded() {
    use http_body::Body as _;
    use http_body_util::BodyExt;

    let answer = Answer::new("0");
    let service = ServiceBuilder::new()
        .layer(answer.metrics.layer())
        .service(service_fn(|_: Request<RequestBody<Body>>| async {
            Ok::<_, Infallible>(Response::new(Closing::default()))
        }));
    let request = Request::post("/t.v1.Echo/Unary").header("content-type", "application/grpc");
    let response = service.oneshot(request.body(Body::empty()).unwrap()).await;
    let mut body = response.unwrap().into_body();
    assert!(!body.is_end_stream());
    assert!(body.frame().await.is_none());
    assert!(body.is_end_stream());
    assert_eq!(answer.metrics.snapshot().handled[2], 1);
}
