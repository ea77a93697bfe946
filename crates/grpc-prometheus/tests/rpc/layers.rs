//! The layer together with interceptors, limits, retries, a health check and a router.

use std::{
    convert::Infallible,
    future::{Ready, ready},
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
    task::{Context, Poll},
};

use bytes::Bytes;
use grpc_prometheus::{Exposition, ServerMetrics};
use http::{Request, Response};
use http_body_util::{BodyExt, Full};
use tonic::{
    Code, Status,
    body::Body,
    service::{Interceptor, Routes, interceptor::InterceptedService},
    transport::Server,
};
use tower::{
    BoxError, Service, ServiceBuilder, ServiceExt,
    load_shed::{LoadShedLayer, error::Overloaded},
    retry::{Policy, RetryLayer},
    service_fn,
};

use crate::{
    caller::EchoClient,
    duplex::{Connection, client, server},
    echo::Echo,
    expect::{calls, exactly, expected, nonzero_samples, page, wait_for},
};

pub(crate) fn grpc(path: &str) -> http::request::Builder {
    Request::post(path).header("content-type", "application/grpc")
}

fn reject(_: tonic::Request<()>) -> Result<tonic::Request<()>, Status> {
    Err(Status::unauthenticated("no"))
}

// M80
#[tokio::test]
async fn an_interceptor_is_counted_inside_the_layer_and_not_outside() {
    let (exposition, metrics) = client();
    let connection = Connection::new(Server::builder(), Echo::default().routes());
    let outside = InterceptedService::new(connection.metered(&metrics.layer()), reject);
    EchoClient::new(outside).unary("head").await.unwrap_err();
    assert_eq!(nonzero_samples(&exposition), expected(&[]));
    let inside = ServiceBuilder::new()
        .layer(metrics.layer())
        .service(InterceptedService::new(connection.channel.clone(), reject));
    let status = EchoClient::new(inside).unary("head").await.unwrap_err();
    assert_eq!(status.code(), Code::Unauthenticated);
    let lines = calls("client", "Unary", "Unauthenticated", 0, 0);
    assert_eq!(nonzero_samples(&exposition), exactly(&[lines]));
}

// M91
#[tokio::test]
async fn a_shed_call_is_resource_exhausted_if_the_limit_is_inside() {
    let (exposition, metrics) = server();
    let never_ready = NeverReady;
    let mut service = ServiceBuilder::new()
        .layer(metrics.layer())
        .layer(LoadShedLayer::new())
        .service(never_ready);
    let request = grpc("/t.v1.Echo/Unary").body(Body::empty()).unwrap();
    let ready = ServiceExt::<Request<Body>>::ready(&mut service)
        .await
        .unwrap();
    let error = ready.call(request).await.unwrap_err();
    assert!(error.is::<Overloaded>(), "{error:?}");
    let lines = calls("server", "Unary", "ResourceExhausted", 0, 0);
    assert_eq!(nonzero_samples(&exposition), exactly(&[lines]));
}

#[derive(Clone)]
struct NeverReady;

impl<B> Service<Request<B>> for NeverReady {
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = std::future::Ready<Result<Self::Response, Infallible>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Pending
    }

    fn call(&mut self, _: Request<B>) -> Self::Future {
        unreachable!("never ready")
    }
}

/// Retries `UNAVAILABLE` this many times.
#[derive(Clone)]
struct Again(u8);

impl<B, E> Policy<Request<Full<Bytes>>, Response<B>, E> for Again {
    type Future = Ready<()>;

    fn retry(
        &mut self,
        _: &mut Request<Full<Bytes>>,
        answer: &mut Result<Response<B>, E>,
    ) -> Option<Ready<()>> {
        let status = answer.as_ref().ok()?.headers().get("grpc-status")?;
        let left = self.0.checked_sub(1).filter(|_| status == "14")?;
        self.0 = left;
        Some(ready(()))
    }

    fn clone_request(&mut self, request: &Request<Full<Bytes>>) -> Option<Request<Full<Bytes>>> {
        Some(request.clone())
    }
}

/// tower's retry, with requests made clonable.
fn retried<S, B>(
    service: S,
) -> impl Service<Request<Body>, Response = Response<B>, Error = BoxError> + Clone
where
    S: Service<Request<Body>, Response = Response<B>, Error: Into<BoxError>> + Clone,
{
    let retry = ServiceBuilder::new()
        .layer(RetryLayer::new(Again(2)))
        .map_request(|request: Request<Full<Bytes>>| request.map(Body::new))
        .service(service);
    service_fn(move |request: Request<Body>| {
        let retry = retry.clone();
        async move {
            let (head, body) = request.into_parts();
            let body = Full::new(body.collect().await?.to_bytes());
            let answer = retry.oneshot(Request::from_parts(head, body)).await;
            answer.map_err(Into::into)
        }
    })
}

/// An interceptor that accepts every third call.
#[derive(Clone, Default)]
struct EveryThird(Arc<AtomicU32>);

impl Interceptor for EveryThird {
    fn call(&mut self, request: tonic::Request<()>) -> Result<tonic::Request<()>, Status> {
        match (self.0.fetch_add(1, Ordering::Relaxed) + 1) % 3 {
            0 => Ok(request),
            _ => Err(Status::unavailable("try again")),
        }
    }
}

#[tokio::test]
async fn each_attempt_of_a_retry_outside_is_a_call_and_a_retry_inside_is_one() {
    let connection = Connection::new(Server::builder(), Echo::default().routes());
    let flaky = || InterceptedService::new(connection.channel.clone(), EveryThird::default());

    let (exposition, metrics) = client();
    let metered = ServiceBuilder::new()
        .layer(metrics.layer())
        .service(flaky());
    EchoClient::new(retried(metered))
        .unary("head")
        .await
        .unwrap();
    let lines = [
        "client handled OK Unary 1",
        "client handled Unavailable Unary 2",
        "client handling Unary 3",
        "client msg_received Unary 1",
        "client msg_sent Unary 1",
        "client started Unary 3",
    ];
    wait_for(&exposition, expected(&lines)).await;

    let (exposition, metrics) = client();
    let metered = ServiceBuilder::new()
        .layer(metrics.layer())
        .service(retried(flaky()));
    EchoClient::new(metered).unary("head").await.unwrap();
    wait_for(
        &exposition,
        exactly(&[calls("client", "Unary", "OK", 1, 1)]),
    )
    .await;
}

// The other half of M60: an excluded service still responds.
#[tokio::test]
async fn an_excluded_health_check_still_responds() {
    use tonic_health::{ServingStatus, server::health_reporter};

    let exposition = Exposition::default();
    let metrics = ServerMetrics::builder()
        .descriptor_set(tonic_health::pb::FILE_DESCRIPTOR_SET)
        .exclude_health_and_reflection(true)
        .register(&exposition)
        .unwrap();
    let (reporter, health) = health_reporter();
    reporter
        .set_service_status("", ServingStatus::Serving)
        .await;
    let routes = tonic::service::Routes::new(health);
    let connection = Connection::new(Server::builder().layer(metrics.layer()), routes);
    let mut client = tonic_health::pb::health_client::HealthClient::new(connection.channel.clone());
    let check = tonic_health::pb::HealthCheckRequest::default();
    let answer = client.check(check).await.unwrap().into_inner();
    assert_eq!(answer.status, ServingStatus::Serving as i32);
    assert_eq!(page(&exposition), "");
}

async fn unary_over(server: Server, routes: Routes) {
    let connection = Connection::new(server, routes);
    let mut echo = EchoClient::new(connection.channel.clone());
    echo.unary("head").await.unwrap();
}

// tonic and axum need services that cannot fail.
#[tokio::test]
async fn one_service_of_a_tonic_server_takes_the_layer() {
    use tonic::service::LayerExt;

    let (exposition, metrics) = server();
    let layered = metrics.layer().named_layer(Echo::default());
    unary_over(Server::builder(), Routes::new(layered.clone())).await;
    let mut other = Server::builder();
    drop(other.add_service(layered));
    let lines = calls("server", "Unary", "OK", 1, 1);
    wait_for(&exposition, exactly(&[lines])).await;
}

#[tokio::test]
async fn tonics_routes_as_an_axum_router_take_the_layer() {
    let (exposition, metrics) = server();
    let router = Echo::default().routes().into_axum_router();
    let router = router.layer(metrics.layer());
    unary_over(Server::builder(), Routes::from(router)).await;
    let lines = calls("server", "Unary", "OK", 1, 1);
    wait_for(&exposition, exactly(&[lines])).await;
}

#[tokio::test]
async fn an_axum_router_takes_the_layer() {
    use axum::{Router, routing::post_service};

    let (exposition, metrics) = server();
    let router = Router::new()
        .route("/t.v1.Echo/Unary", post_service(Echo::default()))
        .layer(metrics.layer());
    let request = grpc("/t.v1.Echo/Unary").header("x-script", "head");
    let message = axum::body::Body::from(vec![0; 5]);
    let response = router.oneshot(request.body(message).unwrap()).await;
    response.unwrap().into_body().collect().await.unwrap();
    let lines = calls("server", "Unary", "OK", 1, 1);
    assert_eq!(nonzero_samples(&exposition), exactly(&[lines]));
}
