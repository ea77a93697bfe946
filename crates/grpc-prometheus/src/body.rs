//! Bodies that count messages; the end, or the drop, of a response body ends the call.

use std::{
    mem,
    pin::Pin,
    task::{Context, Poll, ready},
};

use bytes::Bytes;
use http::{StatusCode, response};
use http_body::{Body, Frame, SizeHint};
use pin_project_lite::pin_project;

use crate::{
    call::{Call, OnPanic},
    code::{self, BoxError, Code},
    exemplar::TraceId,
    meter::{Direction, Meter},
};

pin_project! {
    /// A request body whose messages are counted.
    ///
    /// Errors pass through boxed, whatever their type.
    #[derive(Debug)]
    pub struct RequestBody<B> {
        #[pin]
        inner: B,
        meter: Option<Meter>,
        call: u64,
    }
}

pin_project! {
    /// A response body whose messages are counted and whose end, or drop, ends the call.
    ///
    /// Errors pass through boxed, whatever their type.
    #[derive(Debug)]
    pub struct ResponseBody<B> {
        #[pin]
        inner: B,
        meter: Option<Meter>,
        call: Option<Call>,
        status: StatusCode,
    }
}

type FramePoll = Poll<Option<Result<Frame<Bytes>, BoxError>>>;

// === impl RequestBody ===

impl<B> RequestBody<B> {
    pub(crate) fn new(inner: B, call: Option<&Call>) -> Self {
        let meter = |call: &Call| Meter::new(call.cells().clone(), Direction::Request);
        Self {
            inner,
            meter: call.map(meter),
            call: call.map_or(0, Call::id),
        }
    }
}

impl<B> Body for RequestBody<B>
where
    B: Body<Data = Bytes>,
    B::Error: Into<BoxError>,
{
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> FramePoll {
        let this = self.project();
        let Some(meter) = this.meter else {
            return this.inner.poll_frame(cx).map_err(Into::into);
        };
        meter.asked();
        let frame = ready!(this.inner.poll_frame(cx)).map(|frame| frame.map_err(Into::into));
        match &frame {
            Some(Ok(frame)) => {
                if let Some(data) = frame.data_ref() {
                    meter.count(data);
                }
            }
            Some(Err(error)) if code::is_reset(&**error) => meter.reset(*this.call),
            _ => {}
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.size_hint()
    }
}

// === impl ResponseBody ===

impl<B: Body> ResponseBody<B> {
    pub(crate) fn new(inner: B, call: Option<Call>, head: &response::Parts) -> Self {
        let meter = |call: &Call| Meter::new(call.cells().clone(), Direction::Response);
        let mut body = Self {
            inner,
            meter: call.as_ref().map(meter),
            call,
            status: head.status,
        };
        if let Some(call) = &mut body.call
            && call.trace_id.is_none()
            && call.cells().plan.config.exemplars
        {
            call.trace_id = head.extensions.get::<TraceId>().copied();
        }
        // Nobody polls a body that is at its end: tonic drops it, hyper sends the head alone.
        let at_end = body.inner.is_end_stream();
        let code = Code::from_headers(&head.headers)
            .or_else(|| at_end.then(|| Code::from_http(head.status)));
        if let Some(code) = code {
            body.end(code);
        }
        body
    }

    fn end(&mut self, code: Code) {
        if let Some(call) = self.call.take() {
            call.end(code);
        }
    }
}

impl<B> Body for ResponseBody<B>
where
    B: Body<Data = Bytes>,
    B::Error: Into<BoxError>,
{
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> FramePoll {
        let mut this = self.project();
        let Some(meter) = this.meter else {
            return this.inner.poll_frame(cx).map_err(Into::into);
        };
        meter.asked();
        let on_panic = OnPanic(this.call);
        let polled = this.inner.as_mut().poll_frame(cx);
        mem::forget(on_panic);
        let frame = ready!(polled).map(|frame| frame.map_err(Into::into));
        if let Some(Ok(frame)) = &frame
            && let Some(data) = frame.data_ref()
        {
            meter.count(data);
        }
        if let Some(call) = this.call.take_if(|_| is_last(&frame, &*this.inner)) {
            call.end(end_code(&frame, meter, *this.status));
        }
        Poll::Ready(frame)
    }

    /// Not before the call is recorded: who believes it stops to poll.
    fn is_end_stream(&self) -> bool {
        self.call.is_none() && self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.size_hint()
    }
}

/// After trailers hyper does not poll again, so they are the end and not the `None` after them.
fn is_last<B: Body>(frame: &Option<Result<Frame<Bytes>, BoxError>>, rest: &B) -> bool {
    match frame {
        None | Some(Err(_)) => true,
        Some(Ok(frame)) => frame.is_trailers() || rest.is_end_stream(),
    }
}

fn end_code(
    frame: &Option<Result<Frame<Bytes>, BoxError>>,
    meter: &Meter,
    status: StatusCode,
) -> Code {
    let trailers = match frame {
        Some(Err(error)) => return Code::from_error(&**error),
        Some(Ok(frame)) => frame.trailers_ref(),
        None => None,
    };
    trailers
        .and_then(Code::from_headers)
        .or_else(|| meter.status())
        .unwrap_or_else(|| Code::from_http(status))
}
