//! Bodies that count messages, and end the call where a response ends.

use std::{
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
};

use bytes::Bytes;
use http::{HeaderMap, StatusCode};
use http_body::{Body, Frame, SizeHint};
use pin_project_lite::pin_project;

use crate::{
    call::Call,
    cells::Cells,
    code::{BoxError, Code},
    families::Side,
    frames::Scanner,
};

pin_project! {
    /// A request body whose messages are counted.
    #[derive(Debug)]
    pub struct RequestBody<B> {
        #[pin]
        inner: B,
        meter: Option<Meter>,
    }
}

pin_project! {
    /// A response body whose messages are counted and whose end, or drop, ends the call.
    #[derive(Debug)]
    pub struct ResponseBody<B> {
        #[pin]
        inner: B,
        meter: Option<Meter>,
        call: Option<Call>,
        status: StatusCode,
    }
}

#[derive(Debug)]
struct Meter {
    cells: Arc<Cells>,
    scanner: Scanner,
    incoming: bool,
}

// === impl Meter ===

impl Meter {
    fn new(cells: Arc<Cells>, request: bool) -> Self {
        let incoming = (cells.plan.config.side == Side::Server) == request;
        Self {
            cells,
            scanner: Scanner::default(),
            incoming,
        }
    }

    fn count(&mut self, data: &[u8]) {
        let Self {
            cells,
            scanner,
            incoming,
        } = self;
        if *incoming {
            scanner.scan(data, |bytes| cells.received(bytes));
        } else {
            scanner.scan(data, |bytes| cells.sent(bytes));
        }
    }
}

// === impl RequestBody ===

impl<B> RequestBody<B> {
    pub(crate) fn new(inner: B, cells: Option<Arc<Cells>>) -> Self {
        Self {
            inner,
            meter: cells.map(|cells| Meter::new(cells, true)),
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

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        let this = self.project();
        let frame = ready!(this.inner.poll_frame(cx));
        if let (Some(Ok(frame)), Some(meter)) = (&frame, this.meter)
            && let Some(data) = frame.data_ref()
        {
            meter.count(data);
        }
        Poll::Ready(frame.map(|frame| frame.map_err(Into::into)))
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
    pub(crate) fn new(
        inner: B,
        call: Option<Call>,
        status: StatusCode,
        headers: &HeaderMap,
    ) -> Self {
        let mut body = Self {
            inner,
            meter: call
                .as_ref()
                .map(|call| Meter::new(Arc::clone(call.cells()), false)),
            call,
            status,
        };
        // Nobody polls a body that is at its end: tonic drops it, hyper sends the head alone.
        if let Some(call) = &mut body.call {
            if let Some(code) = Code::from_headers(headers) {
                call.end(code);
            } else if body.inner.is_end_stream() {
                call.end(Code::from_http(status));
            }
            if call.is_ended() {
                body.call = None;
            }
        }
        body
    }
}

impl<B> Body for ResponseBody<B>
where
    B: Body<Data = Bytes>,
    B::Error: Into<BoxError>,
{
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        let mut this = self.project();
        let frame = ready!(this.inner.as_mut().poll_frame(cx));
        let frame = frame.map(|frame| frame.map_err(Into::<BoxError>::into));
        if let (Some(Ok(frame)), Some(meter)) = (&frame, this.meter)
            && let Some(data) = frame.data_ref()
        {
            meter.count(data);
        }
        let code = match &frame {
            None => Some(Code::from_http(*this.status)),
            Some(Err(error)) => Some(Code::from_error(&**error)),
            Some(Ok(frame)) => match frame.trailers_ref() {
                Some(trailers) => Some(
                    Code::from_headers(trailers).unwrap_or_else(|| Code::from_http(*this.status)),
                ),
                None if this.inner.is_end_stream() => Some(Code::from_http(*this.status)),
                None => None,
            },
        };
        if let Some(code) = code
            && let Some(mut call) = this.call.take()
        {
            call.end(code);
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
