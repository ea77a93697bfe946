//! Request and response bodies that count messages. The end or drop of a response body ends the
//! call.

use std::{
    mem,
    pin::Pin,
    task::{Context, Poll},
};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use pin_project_lite::pin_project;

use super::{
    call::OpenCall,
    code::{self, BoxError, Code},
    meter::Meter,
    role::{ResetState, Role, Server},
};
use crate::series::Series;

pin_project! {
    /// A request body that counts its messages.
    ///
    /// Errors of the inner body are boxed.
    #[derive(Debug)]
    pub struct RequestBody<B, R: Role = Server> {
        #[pin]
        inner: B,
        metered: RequestMeter<R>,
    }
}

pin_project! {
    /// A response body that counts its messages. Its end or drop ends the call.
    ///
    /// Errors of the inner body are boxed.
    #[derive(Debug)]
    pub struct ResponseBody<B, R: Role = Server> {
        #[pin]
        inner: B,
        meter: Meter<false>,
        open: OpenCall<R>,
    }
}

/// The request side of a call. The service owns it, so it may outlive the call.
#[derive(Debug)]
struct RequestMeter<R: Role> {
    /// `None` if the call is not counted.
    series: Option<&'static Series>,
    reset: R::Reset,
    meter: Meter<true>,
}

type FramePoll = Poll<Option<Result<Frame<Bytes>, BoxError>>>;

// === impl RequestBody ===

impl<B, R: Role> RequestBody<B, R> {
    #[inline]
    pub(crate) fn new(inner: B, series: Option<&'static Series>, reset: R::Reset) -> Self {
        let metered = RequestMeter {
            series,
            reset,
            meter: Meter::default(),
        };
        Self { inner, metered }
    }
}

impl<B, R> Body for RequestBody<B, R>
where
    R: Role,
    B: Body<Data = Bytes>,
    B::Error: Into<BoxError>,
{
    type Data = Bytes;
    type Error = BoxError;

    #[inline]
    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> FramePoll {
        let this = self.project();
        let metered = this.metered;
        let reset = metered.reset;
        let Some(series) = metered.series else {
            let polled = this.inner.poll_frame(cx);
            return polled.map_err(|error| note_reset(reset, error.into()));
        };
        metered.meter.on_poll(series);
        let polled = this.inner.poll_frame(cx);
        if let Poll::Ready(Some(Ok(frame))) = &polled
            && let Some(data) = frame.data_ref()
        {
            metered.meter.count(series, data, false);
        }
        polled.map_err(|error| note_reset(reset, error.into()))
    }

    fn is_end_stream(&self) -> bool {
        self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.size_hint()
    }
}

// === impl ResponseBody ===

impl<B, R: Role> ResponseBody<B, R> {
    #[inline]
    pub(crate) fn new(inner: B, open: OpenCall<R>) -> Self {
        Self {
            inner,
            meter: Meter::default(),
            open,
        }
    }
}

impl<B, R> Body for ResponseBody<B, R>
where
    R: Role,
    B: Body<Data = Bytes>,
    B::Error: Into<BoxError>,
{
    type Data = Bytes;
    type Error = BoxError;

    #[inline]
    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> FramePoll {
        let mut this = self.project();
        let Some(series) = this.open.series() else {
            return this.inner.poll_frame(cx).map_err(Into::into);
        };
        this.meter.on_poll(series);
        let on_panic = this.open.on_panic();
        let polled = this.inner.as_mut().poll_frame(cx);
        mem::forget(on_panic);
        match &polled {
            Poll::Pending | Poll::Ready(Some(Err(_))) => {}
            Poll::Ready(None) => this.open.end_response(this.meter.status(), this.meter),
            Poll::Ready(Some(Ok(frame))) => {
                if let Some(data) = frame.data_ref() {
                    this.meter.count(series, data, this.open.is_web());
                    if this.meter.is_invalid() {
                        this.open.end_invalid();
                    }
                }
                // hyper does not poll again after trailers, so they end the call.
                let trailers = frame.trailers_ref();
                if trailers.is_some() || this.inner.is_end_stream() {
                    let code = trailers.and_then(Code::from_headers);
                    let code = code.or_else(|| this.meter.status());
                    this.open.end_response(code, this.meter);
                }
            }
        }
        polled.map_err(|error| {
            let error = error.into();
            this.open.end(Some(Code::from_error(&*error)));
            error
        })
    }

    /// `false` until the call is recorded, since callers stop polling when it is `true`.
    fn is_end_stream(&self) -> bool {
        self.open.is_ended() && self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.size_hint()
    }
}

#[cold]
fn note_reset(reset: impl ResetState, error: BoxError) -> BoxError {
    if let Some(reset) = reset.flag()
        && code::is_reset(&*error)
    {
        reset.set();
    }
    error
}

// === impl RequestMeter ===

impl<R: Role> Drop for RequestMeter<R> {
    #[inline]
    fn drop(&mut self) {
        if let Some(series) = self.series {
            self.meter.on_drop(series);
        }
    }
}
