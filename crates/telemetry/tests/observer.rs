//! What an observer of a call sees, and when it is dropped.
#![expect(clippy::unwrap_used, reason = "tests fail by panicking")]

use std::any::Any;
use std::convert::Infallible;
use std::future::{pending, ready};
use std::panic::AssertUnwindSafe;
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use futures_util::{FutureExt, stream};
use http::{HeaderMap, HeaderValue, Response, StatusCode};
use http_body::{Body, Frame};
use http_body_util::{BodyExt, Empty, Full, StreamBody};
use vitalmesh_telemetry::{ObservedBody, ObservedFuture, Observer};

/// What an observer has seen.
#[derive(Clone, Default)]
struct Seen(Arc<Mutex<Vec<String>>>);

/// Records each report and its own drop. Polls are recorded as `[` and `]` if asked for.
struct Recorder {
    seen: Seen,
    polls: bool,
}

// === impl Seen ===

impl Seen {
    fn add(&self, event: impl Into<String>) {
        self.0.lock().unwrap().push(event.into());
    }

    fn events(&self) -> Vec<String> {
        self.0.lock().unwrap().clone()
    }

    fn observe<F>(&self, inner: F) -> ObservedFuture<F, Recorder> {
        let recorder = Recorder {
            seen: self.clone(),
            polls: false,
        };
        ObservedFuture::new(inner, Some(Box::new(recorder)))
    }
}

// === impl Recorder ===

impl Observer for Recorder {
    fn around_poll<T>(&mut self, poll: impl FnOnce() -> T) -> T {
        if !self.polls {
            return poll();
        }
        self.seen.add("[");
        let polled = poll();
        self.seen.add("]");
        polled
    }

    fn on_headers<B>(&mut self, response: &mut Response<B>) {
        self.seen
            .add(format!("headers {}", response.status().as_u16()));
        let headers = response.headers_mut();
        headers.insert("x-observed", HeaderValue::from_static("yes"));
    }

    fn on_trailers(&mut self, trailers: &HeaderMap) {
        let status = trailers["grpc-status"].to_str().unwrap();
        self.seen.add(format!("trailers {status}"));
    }

    fn on_error(&mut self, error: &dyn Any) {
        let reason = error.downcast_ref::<&str>().unwrap();
        self.seen.add(format!("error {reason}"));
    }
}

impl Drop for Recorder {
    fn drop(&mut self) {
        self.seen.add("dropped");
    }
}

type BodyFrame = Result<Frame<Bytes>, &'static str>;

fn data(text: &'static str) -> BodyFrame {
    Ok(Frame::data(Bytes::from_static(text.as_bytes())))
}

fn trailers() -> BodyFrame {
    let mut trailers = HeaderMap::new();
    trailers.insert("grpc-status", HeaderValue::from_static("5"));
    Ok(Frame::trailers(trailers))
}

/// A future of a response whose body yields `frames`.
fn response<const N: usize>(
    frames: [BodyFrame; N],
) -> impl Future<
    Output = Result<Response<impl Body<Data = Bytes, Error = &'static str> + Unpin>, Infallible>,
> {
    ready(Ok(Response::new(StreamBody::new(stream::iter(frames)))))
}

#[tokio::test]
async fn headers_are_reported_before_the_caller_has_them_and_may_be_changed() {
    let seen = Seen::default();
    let response = seen.observe(response([data("a")])).await.unwrap();
    assert_eq!(seen.events(), ["headers 200"]);
    assert_eq!(response.headers()["x-observed"], "yes");
}

#[tokio::test]
async fn trailers_end_the_observation_before_the_body_is_dropped() {
    let seen = Seen::default();
    let frames = [data("a"), data("b"), trailers()];
    let mut body = seen.observe(response(frames)).await.unwrap().into_body();
    for expected in ["a", "b"] {
        let frame = body.frame().await.unwrap().unwrap();
        assert_eq!(frame.into_data().unwrap(), expected);
        assert_eq!(seen.events(), ["headers 200"]);
    }
    let frame = body.frame().await.unwrap().unwrap();
    assert_eq!(frame.trailers_ref().unwrap()["grpc-status"], "5");
    assert_eq!(seen.events(), ["headers 200", "trailers 5", "dropped"]);
    assert!(body.frame().await.is_none());
    drop(body);
    assert_eq!(seen.events().len(), 3);
}

#[tokio::test]
async fn a_body_without_trailers_ends_the_observation_after_its_last_frame() {
    let seen = Seen::default();
    let mut body = seen
        .observe(response([data("a")]))
        .await
        .unwrap()
        .into_body();
    body.frame().await.unwrap().unwrap();
    assert_eq!(seen.events(), ["headers 200"]);
    assert!(body.frame().await.is_none());
    assert_eq!(seen.events(), ["headers 200", "dropped"]);
}

#[tokio::test]
async fn a_body_that_is_already_at_its_end_ends_the_observation_with_the_headers() {
    let seen = Seen::default();
    let empty: Result<_, Infallible> = Response::builder()
        .status(StatusCode::NOT_FOUND)
        .body(Empty::<Bytes>::new())
        .map_err(|_| unreachable!());
    let response = seen.observe(ready(empty)).await.unwrap();
    assert_eq!(seen.events(), ["headers 404", "dropped"]);
    assert!(response.body().is_end_stream());
}

#[tokio::test]
async fn an_error_instead_of_a_response_is_reported_and_returned() {
    let seen = Seen::default();
    let failed: Result<Response<Empty<Bytes>>, _> = Err("refused");
    let error = seen.observe(ready(failed)).await.map(drop).unwrap_err();
    assert_eq!(error, "refused");
    assert_eq!(seen.events(), ["error refused", "dropped"]);
}

#[tokio::test]
async fn an_error_of_the_body_is_reported_and_returned() {
    let seen = Seen::default();
    let frames = [data("a"), Err("reset"), trailers()];
    let mut body = seen.observe(response(frames)).await.unwrap().into_body();
    body.frame().await.unwrap().unwrap();
    assert_eq!(body.frame().await.unwrap().unwrap_err(), "reset");
    assert_eq!(seen.events(), ["headers 200", "error reset", "dropped"]);
}

#[tokio::test]
async fn a_call_that_its_caller_drops_reports_nothing_but_the_drop() {
    let seen = Seen::default();
    let never = pending::<Result<Response<Empty<Bytes>>, Infallible>>();
    let mut future = Box::pin(seen.observe(never));
    assert!(future.as_mut().now_or_never().is_none());
    assert_eq!(seen.events(), [""; 0]);
    drop(future);
    assert_eq!(seen.events(), ["dropped"]);

    let seen = Seen::default();
    let frames = [data("a"), trailers()];
    let mut body = seen.observe(response(frames)).await.unwrap().into_body();
    body.frame().await.unwrap().unwrap();
    drop(body);
    assert_eq!(seen.events(), ["headers 200", "dropped"]);
}

#[tokio::test]
async fn a_panic_reaches_the_caller_and_reports_nothing_but_the_drop() {
    let seen = Seen::default();
    let broken = async { panic!("broken") };
    let call: Result<Result<Response<ObservedBody<Empty<Bytes>, _>>, Infallible>, _> =
        AssertUnwindSafe(seen.observe(broken)).catch_unwind().await;
    assert_eq!(
        *call.map(drop).unwrap_err().downcast::<&str>().unwrap(),
        "broken"
    );
    assert_eq!(seen.events(), ["dropped"]);

    let seen = Seen::default();
    let frames = stream::poll_fn(|_| -> std::task::Poll<Option<BodyFrame>> { panic!("broken") });
    let body: Result<_, Infallible> = Ok(Response::new(StreamBody::new(frames)));
    let mut body = seen.observe(ready(body)).await.unwrap().into_body();
    let frame = AssertUnwindSafe(body.frame()).catch_unwind().await;
    assert_eq!(
        *frame.map(drop).unwrap_err().downcast::<&str>().unwrap(),
        "broken"
    );
    assert_eq!(seen.events(), ["headers 200"]);
    drop(body);
    assert_eq!(seen.events(), ["headers 200", "dropped"]);
}

#[tokio::test]
async fn every_poll_of_the_call_runs_inside_of_the_observer_until_it_ends() {
    let seen = Seen::default();
    let recorder = Recorder {
        seen: seen.clone(),
        polls: true,
    };
    let inner = seen.clone();
    let answer = async move {
        inner.add("work");
        tokio::task::yield_now().await;
        inner.add("work");
        response([data("a"), trailers()]).await
    };
    let observed = ObservedFuture::new(answer, Some(Box::new(recorder)));
    let mut body = observed.await.unwrap().into_body();
    while body.frame().await.is_some() {}
    let expected = "[ work ] [ work ] headers 200 [ ] [ ] trailers 5 dropped";
    assert_eq!(seen.events().join(" "), expected);
}

#[tokio::test]
async fn without_an_observer_a_response_passes_unchanged() {
    let answer: Result<_, Infallible> = Ok(Response::new(Full::new(Bytes::from_static(b"abc"))));
    let observed: ObservedFuture<_, Recorder> = ObservedFuture::new(ready(answer), None);
    let response = observed.await.unwrap();
    assert!(response.headers().is_empty());
    let body = response.into_body();
    assert_eq!(body.size_hint().exact(), Some(3));
    assert!(!body.is_end_stream());
    assert_eq!(body.collect().await.unwrap().to_bytes(), "abc");
}
