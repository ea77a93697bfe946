//! The future of a metered call.

use std::{
    mem,
    pin::Pin,
    task::{Context, Poll, ready},
};

use http::Response;
use http_body::Body;
use pin_project_lite::pin_project;

use crate::{
    ResponseBody,
    call::{Call, OnPanic},
    code::{BoxError, Code},
};

pin_project! {
    /// Answers with the inner response; a failure, a panic or a drop ends the call.
    #[derive(Debug)]
    pub struct ResponseFuture<F> {
        #[pin]
        inner: F,
        call: Option<Call>,
    }
}

// === impl ResponseFuture ===

impl<F> ResponseFuture<F> {
    pub(crate) const fn new(inner: F, call: Option<Call>) -> Self {
        Self { inner, call }
    }
}

impl<F, B, E> Future for ResponseFuture<F>
where
    F: Future<Output = Result<Response<B>, E>>,
    B: Body,
    E: Into<BoxError>,
{
    type Output = Result<Response<ResponseBody<B>>, BoxError>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.project();
        let on_panic = OnPanic(this.call.as_mut());
        let polled = this.inner.poll(cx);
        mem::forget(on_panic);
        Poll::Ready(match ready!(polled) {
            Ok(response) => {
                if let Some(call) = this.call {
                    call.answered(&response);
                }
                let (head, body) = response.into_parts();
                let body = ResponseBody::new(body, this.call.take(), head.status);
                Ok(Response::from_parts(head, body))
            }
            Err(error) => {
                let error = error.into();
                if let Some(call) = this.call {
                    call.end(Code::from_error(&*error));
                }
                Err(error)
            }
        })
    }
}
