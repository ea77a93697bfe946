//! Errors and panics of the service.

use std::{
    convert::Infallible,
    fmt, io,
    task::{Context, Poll},
};

use futures_util::FutureExt;
use grpc_prometheus::{Client, RequestBody};
use http::{Request, Response};
use tonic::{Status, body::Body};
use tower::{
    BoxError, Layer, Service, ServiceBuilder, ServiceExt, load_shed::error::Overloaded, service_fn,
    timeout::error::Elapsed,
};

use crate::{
    duplex::{client, server},
    expect::{calls, exactly, nonzero_samples},
    layers::grpc,
};

#[tokio::test]
async fn a_panic_that_is_caught_outside_is_internal_nevertheless() {
    let (exposition, metrics) = server();
    let service = ServiceBuilder::new()
        .layer(metrics.layer())
        .service(service_fn(|_: Request<RequestBody<Body>>| async {
            if true {
                panic!("caught");
            }
            Ok::<_, Infallible>(Response::new(Body::empty()))
        }));
    let request = grpc("/t.v1.Echo/Unary").body(Body::empty()).unwrap();
    let future = std::panic::AssertUnwindSafe(service.oneshot(request));
    assert!(future.catch_unwind().await.is_err());
    let lines = calls("server", "Unary", "Internal", 0, 0);
    assert_eq!(nonzero_samples(&exposition), exactly(&[lines]));
}

// M21: the layer that catches the panic decides the status.
#[tokio::test]
async fn a_panic_that_is_caught_inside_has_the_status_of_its_response() {
    let (exposition, metrics) = server();
    let service = ServiceBuilder::new()
        .layer(metrics.layer())
        .service(service_fn(|_: Request<RequestBody<Body>>| async {
            let handler = async { panic!("caught") };
            let caught = std::panic::AssertUnwindSafe(handler).catch_unwind().await;
            let _: Result<Infallible, _> = caught;
            Ok::<_, Infallible>(Status::unavailable("try again").into_http::<Body>())
        }));
    let request = grpc("/t.v1.Echo/Unary").body(Body::empty()).unwrap();
    service.oneshot(request).await.unwrap();
    let lines = calls("server", "Unary", "Unavailable", 0, 0);
    assert_eq!(nonzero_samples(&exposition), exactly(&[lines]));
}

#[tokio::test]
async fn a_panic_before_there_is_a_future_is_internal() {
    let (exposition, metrics) = server();
    let service = ServiceBuilder::new().layer(metrics.layer()).service(Panics);
    let request = grpc("/t.v1.Echo/Unary").body(Body::empty()).unwrap();
    let future = std::panic::AssertUnwindSafe(service.oneshot(request));
    assert!(future.catch_unwind().await.is_err());
    let lines = calls("server", "Unary", "Internal", 0, 0);
    assert_eq!(nonzero_samples(&exposition), exactly(&[lines]));
}

#[derive(Clone)]
struct Panics;

impl<B> Service<Request<B>> for Panics {
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = std::future::Ready<Result<Self::Response, Infallible>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, _: Request<B>) -> Self::Future {
        panic!("before there is a future")
    }
}

#[derive(Debug)]
struct Wrapped(BoxError);

impl fmt::Display for Wrapped {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("wrapped")
    }
}

impl std::error::Error for Wrapped {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        Some(&*self.0)
    }
}

#[tokio::test]
async fn an_error_of_the_service_has_the_code_of_what_caused_it() {
    type Cause = fn() -> BoxError;

    let causes: [(Cause, &str); 6] = [
        (|| Status::not_found("").into(), "NotFound"),
        (
            || io::Error::from(io::ErrorKind::NotFound).into(),
            "Unavailable",
        ),
        (|| Elapsed::new().into(), "DeadlineExceeded"),
        (|| Overloaded::new().into(), "ResourceExhausted"),
        (|| h2::Error::from(h2::Reason::CANCEL).into(), "Canceled"),
        (|| "whatever".into(), "Unknown"),
    ];
    for (cause, code) in causes {
        for depth in 0..3 {
            let (exposition, metrics) = server();
            let service = service_fn(move |_: Request<RequestBody<Body>>| async move {
                let error = (0..depth).fold(cause(), |cause, _| Wrapped(cause).into());
                Err::<Response<Body>, BoxError>(error)
            });
            let service = ServiceBuilder::new()
                .layer(metrics.layer())
                .service(service);
            let request = grpc("/t.v1.Echo/Unary").body(Body::empty()).unwrap();
            service.oneshot(request).await.unwrap_err();
            let lines = calls("server", "Unary", code, 0, 0);
            assert_eq!(nonzero_samples(&exposition), exactly(&[lines]));
        }
    }
}

/// Fails with this error; its layer returns the same type.
async fn failed_with<E: fmt::Debug + 'static>(error: fn() -> E, code: &str) -> E {
    let (exposition, metrics) = server();
    let service = service_fn(move |_: Request<RequestBody<Body>>| async move {
        Err::<Response<Body>, E>(error())
    });
    let service = metrics.layer().layer(service);
    let request = grpc("/t.v1.Echo/Unary").body(Body::empty()).unwrap();
    let failed: E = service.oneshot(request).await.unwrap_err();
    let lines = calls("server", "Unary", code, 0, 0);
    assert_eq!(
        nonzero_samples(&exposition),
        exactly(&[lines]),
        "{failed:?}"
    );
    failed
}

#[tokio::test]
async fn an_error_of_the_service_keeps_its_type_and_has_the_code_of_its_cause() {
    let status = failed_with(|| Status::not_found("no"), "NotFound").await;
    assert_eq!(status.message(), "no");
    failed_with(|| io::Error::other("lost"), "Unavailable").await;
    failed_with(Elapsed::new, "DeadlineExceeded").await;
    failed_with(Overloaded::new, "ResourceExhausted").await;
    failed_with(|| h2::Error::from(h2::Reason::CANCEL), "Canceled").await;
    let boxed = || BoxError::from(Wrapped(Status::not_found("").into()));
    let boxed = failed_with(boxed, "NotFound").await;
    assert!(boxed.is::<Wrapped>());
    // Neither boxed nor known.
    let wrapped = failed_with(|| Wrapped(Status::not_found("").into()), "Unknown").await;
    assert_eq!(wrapped.to_string(), "wrapped");
}

// A client reads the causes of every error, and boxes it.
#[tokio::test]
async fn an_error_of_a_clients_service_is_boxed_and_has_the_code_of_its_cause() {
    let (exposition, metrics) = client();
    let service = service_fn(|_: Request<RequestBody<Body, Client>>| async {
        Err::<Response<Body>, _>(Wrapped(Status::not_found("").into()))
    });
    let service = metrics.layer().unboxed().layer(service);
    let request = grpc("/t.v1.Echo/Unary").body(Body::empty()).unwrap();
    let failed: BoxError = service.oneshot(request).await.unwrap_err();
    assert!(failed.is::<Wrapped>());
    let lines = calls("client", "Unary", "NotFound", 0, 0);
    assert_eq!(nonzero_samples(&exposition), exactly(&[lines]));
}
