//! The response future of a metered call.

use std::{
    mem,
    pin::Pin,
    task::{Context, Poll},
};

use http::Response;
use http_body::Body;
use pin_project_lite::pin_project;

use super::{body::ResponseBody, call::OpenCall, code::Code};

pin_project! {
    /// Resolves to the inner response. An error, a panic or a drop ends the call.
    #[derive(Debug)]
    pub struct ResponseFuture<F> {
        #[pin]
        inner: F,
        open: OpenCall,
    }
}

// === impl ResponseFuture ===

impl<F> ResponseFuture<F> {
    #[inline]
    pub(crate) const fn new(inner: F, open: OpenCall) -> Self {
        Self { inner, open }
    }
}

impl<F, B, E> Future for ResponseFuture<F>
where
    F: Future<Output = Result<Response<B>, E>>,
    B: Body,
    E: 'static,
{
    type Output = Result<Response<ResponseBody<B>>, E>;

    #[inline]
    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.project();
        let series = this.open.series();
        let on_panic = this.open.on_panic();
        let polled = this.inner.poll(cx);
        mem::forget(on_panic);
        if let Poll::Ready(Ok(response)) = &polled {
            this.open.on_response(response);
        }
        match polled {
            Poll::Pending => Poll::Pending,
            Poll::Ready(Ok(response)) => {
                let open = this.open.take();
                Poll::Ready(Ok(
                    response.map(|body| ResponseBody::new(body, series, open))
                ))
            }
            Poll::Ready(Err(error)) => {
                this.open.end(Some(Code::from_any(&error)));
                Poll::Ready(Err(error))
            }
        }
    }
}
