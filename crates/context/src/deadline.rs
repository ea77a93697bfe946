//! Ends a call at its deadline with DEADLINE_EXCEEDED, before or after the response headers.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use http::{Request, Response};
use http_body::{Body, Frame, SizeHint};
use pin_project_lite::pin_project;
use tokio::time::{Instant, Sleep, sleep_until};
use tonic::Status;
use tower::{Layer, Service};
use vitalmesh_status::StatusBody;

use crate::call::CallContext;

/// Makes [`Deadline`] services.
#[derive(Clone, Copy, Debug)]
pub struct DeadlineLayer;

/// Enforces the deadline of the current [`CallContext`].
///
/// A call whose deadline has passed is answered without calling the inner service. Later, the
/// inner future or body is dropped at the deadline.
#[derive(Clone, Debug)]
pub struct Deadline<S> {
    inner: S,
}

pin_project! {
    /// Resolves to the inner response, or to DEADLINE_EXCEEDED at the deadline.
    #[derive(Debug)]
    pub struct DeadlineFuture<F> {
        // None: the deadline had passed before the call.
        #[pin]
        inner: Option<F>,
        timer: Timer,
    }
}

pin_project! {
    /// Passes the inner body through, and ends it with DEADLINE_EXCEEDED at the deadline.
    #[derive(Debug)]
    pub struct DeadlineBody<B> {
        #[pin]
        inner: StatusBody<B>,
        timer: Timer,
    }
}

/// Registers with the runtime's timer at the first poll that is pending; until then it takes two
/// words of memory.
#[derive(Debug)]
struct Timer {
    deadline: Option<Instant>,
    sleep: Option<Pin<Box<Sleep>>>,
}

fn exceeded() -> Status {
    Status::deadline_exceeded("the deadline passed before the call completed")
}

// === impl DeadlineLayer ===

impl<S> Layer<S> for DeadlineLayer {
    type Service = Deadline<S>;

    fn layer(&self, inner: S) -> Self::Service {
        Deadline { inner }
    }
}

// === impl Deadline ===

impl<S, ReqB, ResB> Service<Request<ReqB>> for Deadline<S>
where
    S: Service<Request<ReqB>, Response = Response<ResB>>,
{
    type Response = Response<DeadlineBody<ResB>>;
    type Error = S::Error;
    type Future = DeadlineFuture<S::Future>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: Request<ReqB>) -> Self::Future {
        let deadline = CallContext::current().and_then(|context| context.deadline);
        let late = deadline.is_some_and(|deadline| deadline <= Instant::now());
        DeadlineFuture {
            inner: (!late).then(|| self.inner.call(request)),
            timer: Timer::new(deadline),
        }
    }
}

// === impl DeadlineFuture ===

impl<F, B, E> Future for DeadlineFuture<F>
where
    F: Future<Output = Result<Response<B>, E>>,
{
    type Output = Result<Response<DeadlineBody<B>>, E>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let mut this = self.project();
        let Some(inner) = this.inner.as_mut().as_pin_mut() else {
            return Poll::Ready(Ok(exceeded().into_http()));
        };
        match inner.poll(cx) {
            // An error after the deadline is the deadline's, whatever broke the call.
            Poll::Ready(Err(_)) if this.timer.is_over() => {}
            Poll::Ready(response) => {
                let deadline = this.timer.deadline;
                return Poll::Ready(response.map(|response| {
                    response.map(|body| DeadlineBody {
                        inner: StatusBody::new(body),
                        timer: Timer::new(deadline),
                    })
                }));
            }
            Poll::Pending => ready!(this.timer.poll(cx)),
        }
        this.inner.set(None);
        Poll::Ready(Ok(exceeded().into_http()))
    }
}

// === impl DeadlineBody ===

impl<B> Default for DeadlineBody<B> {
    fn default() -> Self {
        Self {
            inner: StatusBody::default(),
            timer: Timer::new(None),
        }
    }
}

impl<B: Body> Body for DeadlineBody<B> {
    type Data = B::Data;
    type Error = B::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Self::Data>, Self::Error>>> {
        let mut this = self.project();
        match this.inner.as_mut().poll_frame(cx) {
            // A stream that is always ready never polls the timer, so check the clock here.
            Poll::Ready(Some(Ok(frame))) if frame.is_data() && this.timer.is_over() => {}
            Poll::Ready(frame) => return Poll::Ready(frame),
            Poll::Pending => ready!(this.timer.poll(cx)),
        }
        Poll::Ready(Some(Ok(this.inner.end_with(&exceeded()))))
    }

    fn is_end_stream(&self) -> bool {
        self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.size_hint()
    }
}

// === impl Timer ===

impl Timer {
    const fn new(deadline: Option<Instant>) -> Self {
        Self {
            deadline,
            sleep: None,
        }
    }

    fn is_over(&self) -> bool {
        self.deadline
            .is_some_and(|deadline| deadline <= Instant::now())
    }

    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let Some(deadline) = self.deadline else {
            return Poll::Pending;
        };
        let sleep = self
            .sleep
            .get_or_insert_with(|| Box::pin(sleep_until(deadline)));
        sleep.as_mut().poll(cx)
    }
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;
    use std::time::Duration;

    use bytes::Bytes;
    use futures_util::{StreamExt, stream};
    use http_body_util::{BodyExt, StreamBody};
    use tower::{ServiceExt, service_fn};

    use super::*;

    fn within(time: Duration) -> CallContext {
        CallContext::root(Some(time))
    }

    fn status<B>(response: &Response<B>) -> &str {
        response.headers()["grpc-status"].to_str().unwrap()
    }

    #[tokio::test(start_paused = true)]
    async fn a_slow_handler_is_dropped_at_the_deadline() {
        let slow = service_fn(async |_: Request<()>| {
            tokio::time::sleep(Duration::from_secs(9)).await;
            Ok::<_, Infallible>(Response::new(http_body_util::Empty::<Bytes>::new()))
        });
        let begun = Instant::now();
        let call = DeadlineLayer.layer(slow).oneshot(Request::new(()));
        let response = within(Duration::from_secs(1)).scope(call).await;
        assert_eq!(status(&response.unwrap()), "4");
        assert_eq!(begun.elapsed().as_secs(), 1);
    }

    #[tokio::test(start_paused = true)]
    async fn a_call_past_its_deadline_never_reaches_the_handler() {
        let never = service_fn(
            async |_: Request<()>| -> Result<Response<String>, Infallible> {
                unreachable!("the handler ran")
            },
        );
        let call = DeadlineLayer.layer(never).oneshot(Request::new(()));
        let response = within(Duration::ZERO).scope(call).await.unwrap();
        assert_eq!(status(&response), "4");
        assert!(response.body().is_end_stream());
    }

    #[tokio::test(start_paused = true)]
    async fn a_stream_ends_with_a_status_whether_it_is_pending_or_always_ready() {
        for pause in [Duration::from_millis(300), Duration::ZERO] {
            let endless = service_fn(async |_: Request<()>| {
                let frames = stream::repeat(()).then(move |()| async move {
                    match pause {
                        Duration::ZERO => tokio::time::advance(Duration::from_millis(1)).await,
                        pause => tokio::time::sleep(pause).await,
                    }
                    Ok::<_, Infallible>(Frame::data(Bytes::from_static(b"x")))
                });
                Ok::<_, Infallible>(Response::new(StreamBody::new(Box::pin(frames))))
            });
            let call = DeadlineLayer.layer(endless).oneshot(Request::new(()));
            let response = within(Duration::from_secs(1)).scope(call).await;
            let body = response.unwrap().into_body().collect().await.unwrap();
            assert_eq!(body.trailers().unwrap()["grpc-status"], "4");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_call_without_a_deadline_is_not_bounded() {
        let slow = service_fn(async |_: Request<()>| {
            tokio::time::sleep(Duration::from_secs(86_400)).await;
            Ok::<_, Infallible>(Response::new(String::new()))
        });
        let call = DeadlineLayer.layer(slow).oneshot(Request::new(()));
        let response = CallContext::root(None).scope(call).await;
        assert!(response.unwrap().headers().is_empty());
    }
}
