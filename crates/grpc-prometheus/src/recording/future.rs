//! The response future of a metered call.

use std::{
    mem,
    pin::Pin,
    task::{Context, Poll},
};

use http::Response;
use http_body::Body;
use pin_project_lite::pin_project;

use super::{
    body::ResponseBody,
    call::OpenCall,
    code::Code,
    nesting::CountedRequest,
    role::{Role, Server},
};

pin_project! {
    /// Resolves to the inner response. An error, a panic or a drop ends the call.
    #[derive(Debug)]
    pub struct ResponseFuture<F, R: Role = Server> {
        #[pin]
        inner: F,
        open: OpenCall<R>,
        counted: CountedRequest,
    }
}

// === impl ResponseFuture ===

impl<F, R: Role> ResponseFuture<F, R> {
    /// Creates the inner future, which may panic.
    #[inline]
    pub(crate) fn start(
        mut open: OpenCall<R>,
        counted: CountedRequest,
        inner: impl FnOnce() -> F,
    ) -> Self {
        let outer = counted.enter();
        let on_panic = open.on_panic();
        let inner = inner();
        mem::forget(on_panic);
        drop(outer);
        Self {
            inner,
            open,
            counted,
        }
    }
}

impl<F, R, B, E> Future for ResponseFuture<F, R>
where
    R: Role,
    F: Future<Output = Result<Response<B>, E>>,
    B: Body,
    E: 'static,
{
    type Output = Result<Response<ResponseBody<B, R>>, E>;

    #[inline]
    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.project();
        let outer = this.counted.enter();
        let on_panic = this.open.on_panic();
        let polled = this.inner.poll(cx);
        mem::forget(on_panic);
        drop(outer);
        match polled {
            Poll::Pending => Poll::Pending,
            Poll::Ready(Ok(response)) => {
                this.open.on_response(&response);
                let open = this.open.take();
                Poll::Ready(Ok(response.map(|body| ResponseBody::new(body, open))))
            }
            Poll::Ready(Err(error)) => {
                this.open.end(Some(Code::from_any(&error)));
                Poll::Ready(Err(error))
            }
        }
    }
}
