//! Bodies that count messages; the end, or the drop, of a response body ends the call.

use std::{
    mem,
    pin::Pin,
    task::{Context, Poll, ready},
    thread,
};

use bytes::Bytes;
use http::StatusCode;
use http_body::{Body, Frame, SizeHint};
use pin_project_lite::pin_project;

use crate::{
    call::{Call, OnPanic},
    cells::Series,
    code::{self, BoxError, Code},
    families::Side,
    meter::Meter,
};

pin_project! {
    /// A request body whose messages are counted.
    ///
    /// Errors pass through boxed, whatever their type.
    #[derive(Debug)]
    pub struct RequestBody<B> {
        #[pin]
        inner: B,
        meter: Option<RequestMeter>,
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
        counted: Option<Counted>,
    }
}

/// The rest of a call once its head is answered.
#[derive(Debug)]
struct Counted {
    call: Call,
    meter: Meter<false>,
    status: StatusCode,
}

/// Lives in the service, apart from its call.
#[derive(Debug)]
struct RequestMeter {
    series: &'static Series,
    call: u64,
    meter: Meter<true>,
}

type FramePoll = Poll<Option<Result<Frame<Bytes>, BoxError>>>;

// === impl RequestBody ===

impl<B> RequestBody<B> {
    #[inline]
    pub(crate) fn new(inner: B, call: Option<&Call>) -> Self {
        let meter = call.map(RequestMeter::new);
        Self { inner, meter }
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
        let Some(RequestMeter {
            series,
            call,
            meter,
        }) = this.meter
        else {
            return this.inner.poll_frame(cx).map_err(Into::into);
        };
        meter.asked(series);
        let frame = ready!(this.inner.poll_frame(cx)).map(|frame| frame.map_err(Into::into));
        match &frame {
            Some(Ok(frame)) => {
                if let Some(data) = frame.data_ref() {
                    meter.count(series, data);
                }
            }
            Some(Err(error))
                if series.plan.config.side == Side::Server && code::is_reset(&**error) =>
            {
                series.plan.resets.note(*call);
            }
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

impl<B> ResponseBody<B> {
    #[inline]
    pub(crate) fn new(inner: B, call: Option<Call>, status: StatusCode) -> Self {
        let counted = call.map(|call| Counted {
            meter: Meter::default(),
            call,
            status,
        });
        Self { inner, counted }
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
        let Some(Counted {
            call,
            meter,
            status,
        }) = this.counted
        else {
            return this.inner.poll_frame(cx).map_err(Into::into);
        };
        meter.asked(call.series());
        let on_panic = OnPanic(Some(&mut *call));
        let polled = this.inner.as_mut().poll_frame(cx);
        mem::forget(on_panic);
        let frame = ready!(polled).map(|frame| frame.map_err(Into::into));
        if let Some(Ok(frame)) = &frame
            && let Some(data) = frame.data_ref()
        {
            meter.count(call.series(), data);
        }
        if !call.is_ended() && is_last(&frame, &*this.inner) {
            call.end(end_code(&frame, meter, *status));
        }
        Poll::Ready(frame)
    }

    /// Not before the call is recorded: who believes it stops to poll.
    fn is_end_stream(&self) -> bool {
        let ended = |counted: &Counted| counted.call.is_ended();
        self.counted.as_ref().is_none_or(ended) && self.inner.is_end_stream()
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
    meter: &Meter<false>,
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

// === impl Counted ===

impl Drop for Counted {
    /// A client that leaves what is no gRPC has its answer: the HTTP status of the head.
    fn drop(&mut self) {
        let client = self.call.series().plan.config.side == Side::Client;
        if client && self.status != StatusCode::OK && !thread::panicking() {
            self.call.end(Code::from_http(self.status));
        }
    }
}

// === impl RequestMeter ===

impl RequestMeter {
    fn new(call: &Call) -> Self {
        Self {
            series: call.series(),
            call: call.id(),
            meter: Meter::default(),
        }
    }
}

impl Drop for RequestMeter {
    fn drop(&mut self) {
        self.meter.accepted(self.series);
    }
}
