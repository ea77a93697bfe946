//! Deadlines of a server: which timer fires, in which layer, and the code that counts.
//!
//! The layer reads the system's clock, which tests cannot pause. A deadline of 1 ns has always
//! passed, and one of an hour never passes during a test.

use std::{
    convert::Infallible,
    future::{self, Pending},
    task::{Context, Poll},
    time::Duration,
};

use futures_util::{FutureExt, future::BoxFuture};
use grpc_prometheus::{Exposition, RequestBody, ServerMetrics};
use h2::Reason;
use http::{Request, Response};
use tonic::{Status, body::Body};
use tower::{
    BoxError, Layer, Service, ServiceBuilder, ServiceExt, service_fn, timeout::TimeoutLayer,
};

use crate::{
    caller::EchoClient,
    duplex::{Connection, client, server},
    echo::{Echo, echo_descriptor_set},
    expect::{calls, eventually, exactly, nonzero_samples},
    wire::{Served, message, read},
};

pub(crate) const OVER: &str = "1n";
pub(crate) const FAR: &str = "1H";

// Like tonic's `Server::timeout`, it applies if the caller sets no deadline or a later one.
#[tokio::test]
async fn the_servers_own_timeout_is_a_deadline_too() {
    let (short, long) = (Duration::from_nanos(1), Duration::from_secs(3_600));
    for (timeout, header, code) in [
        (short, None, "DeadlineExceeded"),
        (short, Some(FAR), "DeadlineExceeded"),
        (long, Some(OVER), "DeadlineExceeded"),
        (long, None, "Canceled"),
    ] {
        let exposition = Exposition::default();
        let builder = ServerMetrics::builder().descriptor_set(&echo_descriptor_set());
        let metrics = builder.timeout(timeout).register(&exposition).unwrap();
        let never = |_| std::future::pending::<Result<Response<Body>, BoxError>>();
        let mut service = metrics.layer().layer(service_fn(never));
        let mut request =
            Request::post("/t.v1.Echo/Unary").header("content-type", "application/grpc");
        if let Some(header) = header {
            request = request.header("grpc-timeout", header);
        }
        drop(service.call(request.body(Body::empty()).unwrap()));
        let lines = calls("server", "Unary", code, 0, 0);
        assert_eq!(
            nonzero_samples(&exposition),
            exactly(&[lines]),
            "{timeout:?} {header:?}"
        );
    }
}

// M28: tonic's own timer is outside of the layer and drops the response future.
#[tokio::test]
async fn a_deadline_that_tonic_ends_outside_is_deadline_exceeded() {
    for (method, script) in [
        ("Unary", "hang"),
        ("Server", "hang"),
        ("Client", "read1 hang"),
        ("Bidi", "read1 hang"),
    ] {
        let mut served = Served::new().await;
        let headers = [("grpc-timeout", "50m"), ("x-script", script)];
        let (response, mut body) = served.call_with(method, &headers);
        body.send_data(message(2).into(), true).unwrap();
        assert_eq!(response.await.unwrap().headers()["grpc-status"], "1");
        served
            .wait_for(exactly(&[calls(
                "server",
                method,
                "DeadlineExceeded",
                1,
                0,
            )]))
            .await;
    }
}

// M29: a timer inside with the same timeout is polled before tonic's.
#[tokio::test(start_paused = true)]
async fn a_deadline_inside_the_layer_is_deadline_exceeded_on_the_wire_and_in_the_scrape() {
    let mut served = Served::with(tower::layer::layer_fn(|inner| Deadline { inner })).await;
    let headers = [("grpc-timeout", "50m"), ("x-script", "hang")];
    let (response, mut body) = served.call_with("Unary", &headers);
    body.send_data(message(0).into(), true).unwrap();
    assert_eq!(response.await.unwrap().headers()["grpc-status"], "4");
    served
        .wait_for(exactly(&[calls(
            "server",
            "Unary",
            "DeadlineExceeded",
            1,
            0,
        )]))
        .await;
}

/// Responds after 50 ms at the latest.
#[derive(Clone)]
struct Deadline<S> {
    inner: S,
}

impl<S, B> Service<Request<B>> for Deadline<S>
where
    S: Service<Request<B>, Response = Response<Body>>,
    S::Future: Send + 'static,
{
    type Response = Response<Body>;
    type Error = S::Error;
    type Future = BoxFuture<'static, Result<Response<Body>, S::Error>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        let answer = self.inner.call(request);
        async move {
            match tokio::time::timeout(Duration::from_millis(50), answer).await {
                Ok(answer) => answer,
                Err(_) => Ok(Status::deadline_exceeded("too late").into_http()),
            }
        }
        .boxed()
    }
}

// M30
#[tokio::test(start_paused = true)]
async fn a_tower_timeout_inside_is_deadline_exceeded() {
    let (exposition, metrics) = server();
    let service = ServiceBuilder::new()
        .layer(metrics.layer())
        .layer(TimeoutLayer::new(Duration::from_secs(1)))
        .service(service_fn(|_: Request<RequestBody<Body>>| {
            std::future::pending::<Result<Response<Body>, BoxError>>()
        }));
    service.oneshot(unary(FAR)).await.unwrap_err();
    let lines = calls("server", "Unary", "DeadlineExceeded", 0, 0);
    assert_eq!(nonzero_samples(&exposition), exactly(&[lines]));
}

// M31
#[tokio::test]
async fn a_malformed_deadline_is_none() {
    for malformed in ["5x", "", "123456789n", "-1n", "1 n"] {
        let mut served = Served::new().await;
        let headers = [("grpc-timeout", malformed), ("x-script", "hang")];
        let (_response, mut body) = served.call_with("Unary", &headers);
        body.send_data(message(0).into(), false).unwrap();
        served.received(1).await;
        body.send_reset(Reason::CANCEL);
        served
            .wait_for(exactly(&[calls("server", "Unary", "Canceled", 1, 0)]))
            .await;
        let headers = [("grpc-timeout", malformed), ("x-script", "head")];
        let (response, mut body) = served.call_with("Unary", &headers);
        body.send_data(message(0).into(), true).unwrap();
        let trailers = read(response.await.unwrap().into_body()).await;
        assert_eq!(trailers["grpc-status"], "0", "{malformed:?}");
    }
}

// M42 M52: tonic's timer ends with the response head; then the caller resets the stream.
#[tokio::test]
async fn a_stream_reset_by_its_caller_is_deadline_exceeded_only_after_its_deadline() {
    for script in [
        "head send1 hang",
        "head send1 readall",
        "head send1 readall err5",
    ] {
        for (timeout, code) in [(OVER, "DeadlineExceeded"), (FAR, "Canceled")] {
            let mut served = Served::new().await;
            let headers = [("grpc-timeout", timeout), ("x-script", script)];
            let (response, mut body) = served.call_with("Bidi", &headers);
            let mut answer = response.await.unwrap().into_body();
            answer.data().await.unwrap().unwrap();
            body.send_reset(Reason::CANCEL);
            served
                .wait_for(exactly(&[calls("server", "Bidi", code, 0, 1)]))
                .await;
        }
    }
}

fn hang<B>(_: Request<B>) -> Pending<Result<Response<Body>, Infallible>> {
    future::pending()
}

#[tokio::test]
async fn a_dropped_future_is_deadline_exceeded_only_after_its_deadline() {
    let (over, far) = ("DeadlineExceeded", "Canceled");
    for (timeout, code) in [("0S", over), (OVER, over), (FAR, far), ("99999999H", far)] {
        let (exposition, metrics) = server();
        drop(metrics.layer().layer(service_fn(hang)).call(unary(timeout)));
        let lines = calls("server", "Unary", code, 0, 0);
        assert_eq!(nonzero_samples(&exposition), exactly(&[lines]));

        let (exposition, metrics) = client();
        drop(
            metrics
                .layer()
                .unboxed()
                .layer(service_fn(hang))
                .call(unary(timeout)),
        );
        let lines = calls("client", "Unary", code, 0, 0);
        assert_eq!(nonzero_samples(&exposition), exactly(&[lines]));
    }
}

pub(crate) fn unary(timeout: &str) -> Request<Body> {
    call("Unary", timeout)
}

pub(crate) fn call(method: &str, timeout: &str) -> Request<Body> {
    Request::post(format!("/t.v1.Echo/{method}"))
        .header("content-type", "application/grpc")
        .header("grpc-timeout", timeout)
        .body(Body::empty())
        .unwrap()
}

/// Responds with DEADLINE_EXCEEDED after the timeout. Its timer is made in `call`, or when the
/// response is awaited.
#[derive(Clone)]
struct TimedOut<S> {
    inner: S,
    in_call: bool,
}

const TIMEOUT: Duration = Duration::from_millis(50);

impl<S, B> Service<Request<B>> for TimedOut<S>
where
    S: Service<Request<B>, Response = Response<Body>, Error: Send, Future: Send + 'static>,
{
    type Response = Response<Body>;
    type Error = S::Error;
    type Future = BoxFuture<'static, Result<Response<Body>, S::Error>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        let response = self.inner.call(request);
        let timer = self.in_call.then(|| tokio::time::sleep(TIMEOUT));
        async move {
            let timer = match timer {
                Some(timer) => timer,
                None => {
                    // Such as for a turn in a queue.
                    tokio::time::sleep(Duration::from_millis(1)).await;
                    tokio::time::sleep(TIMEOUT)
                }
            };
            tokio::select! {
                response = response => response,
                () = timer => Ok(Status::deadline_exceeded("").into_http()),
            }
        }
        .boxed()
    }
}

#[tokio::test(start_paused = true)]
async fn a_deadline_layer_fires_before_tonics_timeout_if_its_timer_is_made_in_call() {
    for (in_call, seen, counted) in [
        (true, tonic::Code::DeadlineExceeded, "DeadlineExceeded"),
        (false, tonic::Code::Cancelled, "Canceled"),
    ] {
        let (exposition, metrics) = server();
        let layers = ServiceBuilder::new()
            .layer(metrics.layer())
            .layer_fn(move |inner| TimedOut { inner, in_call });
        let tonic = tonic::transport::Server::builder()
            .timeout(TIMEOUT)
            .layer(layers);
        let connection = Connection::new(tonic, Echo::default().routes());
        let mut echo = EchoClient::new(connection.channel.clone());
        let error = echo.unary("hang").await.unwrap_err();
        assert_eq!(error.code(), seen, "{error}");
        // The message may be dropped unread.
        let code = || {
            let samples = nonzero_samples(&exposition).into_iter();
            let mut handled = samples.filter(|sample| sample.starts_with("server handled "));
            handled.next()
        };
        let expected = format!("server handled {counted} Unary 1");
        assert!(
            eventually(|| code() == Some(expected.clone())).await,
            "{:?}",
            code()
        );
    }
}
