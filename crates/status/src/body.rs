//! A response body that a layer can end early with a gRPC status.

use std::pin::Pin;
use std::task::{Context, Poll};

use http::HeaderMap;
use http_body::{Body, Frame, SizeHint};
use pin_project_lite::pin_project;
use tonic::Status;

pin_project! {
    /// Passes the inner body through until a layer ends it with a status.
    ///
    /// A default value has no inner body: it is the empty body of a response that a layer gives
    /// instead of the inner service's.
    #[derive(Debug)]
    pub struct StatusBody<B> {
        #[pin]
        inner: Option<B>,
    }
}

impl<B> StatusBody<B> {
    /// Wraps a response body.
    pub const fn new(inner: B) -> Self {
        Self { inner: Some(inner) }
    }

    /// Drops the inner body and returns the trailers frame that carries `status`. The body is at
    /// its end afterwards.
    pub fn end_with<D>(self: Pin<&mut Self>, status: &Status) -> Frame<D> {
        self.project().inner.set(None);
        trailers(status)
    }
}

impl<B> Default for StatusBody<B> {
    fn default() -> Self {
        Self { inner: None }
    }
}

impl<B: Body> Body for StatusBody<B> {
    type Data = B::Data;
    type Error = B::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Self::Data>, Self::Error>>> {
        match self.project().inner.as_pin_mut() {
            Some(inner) => inner.poll_frame(cx),
            None => Poll::Ready(None),
        }
    }

    fn is_end_stream(&self) -> bool {
        self.inner.as_ref().is_none_or(Body::is_end_stream)
    }

    fn size_hint(&self) -> SizeHint {
        self.inner
            .as_ref()
            .map_or_else(|| SizeHint::with_exact(0), Body::size_hint)
    }
}

/// The trailers frame that ends a stream with `status`.
pub fn trailers<D>(status: &Status) -> Frame<D> {
    let mut trailers = HeaderMap::new();
    // Fails only for a message that is no header value; layers use literals.
    let _ = status.add_header(&mut trailers);
    Frame::trailers(trailers)
}

#[cfg(test)]
mod tests {
    use std::pin::pin;

    use bytes::Bytes;
    use http_body_util::{BodyExt, Full};

    use super::*;

    #[tokio::test]
    async fn a_body_passes_through_until_it_is_ended_with_a_status() {
        let body = StatusBody::new(Full::new(Bytes::from_static(b"whole")));
        assert_eq!(body.size_hint().exact(), Some(5));
        assert_eq!(body.collect().await.unwrap().to_bytes(), "whole");

        let mut body = pin!(StatusBody::new(Full::new(Bytes::from_static(b"cut"))));
        let frame: Frame<Bytes> = body.as_mut().end_with(&Status::internal("broken"));
        assert_eq!(frame.trailers_ref().unwrap()["grpc-status"], "13");
        assert!(body.is_end_stream());
        assert!(body.frame().await.is_none());
    }

    #[test]
    fn a_default_body_is_empty() {
        let body = StatusBody::<Full<Bytes>>::default();
        assert!(body.is_end_stream());
        assert_eq!(body.size_hint().exact(), Some(0));
    }
}
