//! Boxes the errors of a client's service, so that its layer can read their causes.

use std::{
    pin::Pin,
    task::{Context, Poll},
};

use pin_project_lite::pin_project;
use tower_service::Service;

use super::code::BoxError;

pin_project! {
    /// A service, or its future, with boxed errors.
    #[derive(Clone, Debug)]
    pub struct BoxedErrors<T> {
        #[pin]
        inner: T,
    }
}

// === impl BoxedErrors ===

impl<T> BoxedErrors<T> {
    #[inline]
    pub(crate) const fn new(inner: T) -> Self {
        Self { inner }
    }
}

impl<T, Request> Service<Request> for BoxedErrors<T>
where
    T: Service<Request>,
    T::Error: Into<BoxError>,
{
    type Response = T::Response;
    type Error = BoxError;
    type Future = BoxedErrors<T::Future>;

    #[inline]
    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        self.inner.poll_ready(cx).map_err(Into::into)
    }

    #[inline]
    fn call(&mut self, request: Request) -> Self::Future {
        BoxedErrors::new(self.inner.call(request))
    }
}

impl<T, Response, E> Future for BoxedErrors<T>
where
    T: Future<Output = Result<Response, E>>,
    E: Into<BoxError>,
{
    type Output = Result<Response, BoxError>;

    #[inline]
    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        self.project().inner.poll(cx).map_err(Into::into)
    }
}
