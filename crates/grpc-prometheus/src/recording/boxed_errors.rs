//! Boxes the errors of a client's service, so that its layer can read their causes.

use std::{
    pin::Pin,
    task::{Context, Poll},
};

use pin_project_lite::pin_project;

use super::code::BoxError;

pin_project! {
    /// The future of a client's service, with boxed errors.
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
