//! One RPC from start to end. It is recorded exactly once, also when it is dropped.

use std::{mem, time::Instant};

use http::{Request, Response, StatusCode, header::CONTENT_TYPE};
use http_body::Body;

use super::{
    clock,
    code::{Code, GRPC_STATUS},
    content_type::ContentType,
    head::ResponseHead,
    headers,
    meter::Meter,
    reset::ResetFlag,
    role::{ResetState, Role},
    trace,
};
use crate::series::{Series, Side, TraceId};

/// A server attributes a cancellation to the deadline if it arrives at most this early, in
/// nanoseconds.
const MAX_EARLY: u64 = 10_000_000;

/// Owns a call until it ends. Dropping it ends the call.
///
/// Functions that are not inlined take its words one by one. So the compiler can leave the words in
/// place when the request, the response or a future moves.
#[derive(Debug)]
pub(crate) struct OpenCall<R: Role> {
    /// `None` if the call is not counted.
    series: Option<&'static Series>,
    /// `None` if the call has ended or is not counted.
    start: Option<Instant>,
    /// In nanoseconds from the start; [`NEVER`](clock::NEVER) without a deadline.
    deadline: u64,
    /// [`NONE`](TraceId::NONE) unless the trace is sampled.
    trace_id: TraceId,
    head: ResponseHead,
    /// Closed on drop.
    reset: R::Reset,
}

/// Records the call as `Internal` on drop, that is, during a panic. Forgotten if the guarded code
/// returns.
///
/// The drop of [`OpenCall`] comes too late for this: an outer layer may have caught the panic.
#[derive(Debug)]
pub(crate) struct PanicGuard<'a, R: Role>(&'a mut OpenCall<R>);

// === impl OpenCall ===

impl<R: Role> OpenCall<R> {
    /// A request that is not counted. It may have a reset flag nevertheless.
    #[inline]
    pub(crate) const fn uncounted(reset: R::Reset) -> Self {
        Self {
            series: None,
            start: None,
            deadline: clock::NEVER,
            trace_id: TraceId::NONE,
            head: ResponseHead::NONE,
            reset,
        }
    }

    #[inline(always)]
    pub(crate) fn start<B>(series: &'static Series, request: &Request<B>, deadline: u64) -> Self {
        series.start();
        let trace_id = match series.schema.config.exemplars {
            true => trace::find(request.headers(), request.extensions()),
            false => None,
        };
        Self {
            series: Some(series),
            deadline,
            trace_id: trace_id.unwrap_or(TraceId::NONE),
            head: ResponseHead::NONE,
            reset: R::Reset::open(),
            start: Some(Instant::now()),
        }
    }

    /// Moves the call out.
    #[inline]
    pub(crate) const fn take(&mut self) -> Self {
        Self {
            series: self.series,
            start: self.start.take(),
            deadline: self.deadline,
            trace_id: self.trace_id,
            head: self.head,
            reset: mem::replace(&mut self.reset, R::Reset::NONE),
        }
    }

    /// `None` if the call is not counted.
    #[inline]
    pub(crate) const fn series(&self) -> Option<&'static Series> {
        self.series
    }

    /// Whether the response body is one of grpc-web.
    #[inline]
    pub(crate) const fn is_web(&self) -> bool {
        self.head.is_web()
    }

    #[inline]
    pub(crate) const fn reset(&self) -> R::Reset {
        self.reset
    }

    /// Also if it is not counted.
    #[inline]
    pub(crate) const fn is_ended(&self) -> bool {
        self.start.is_none()
    }

    #[inline]
    pub(crate) const fn on_panic(&mut self) -> PanicGuard<'_, R> {
        PanicGuard(self)
    }

    /// Handles the response head, which may carry the trace id and may end the call.
    #[inline]
    pub(crate) fn on_response<B: Body>(&mut self, response: &Response<B>) {
        let Some(series) = self.series else { return };
        if series.schema.config.exemplars && self.trace_id == TraceId::NONE {
            let trace_id = response.extensions().get().copied();
            self.trace_id = trace_id.unwrap_or(TraceId::NONE);
        }
        let [code, content_type] =
            headers::get_two(response.headers(), [&GRPC_STATUS, &CONTENT_TYPE]);
        let code = code.map(Code::from_value);
        let is_web = ContentType::of(content_type) == Some(ContentType::Web);
        self.head = ResponseHead::new(response.status(), is_web);
        // A body at its end is never polled: tonic drops it, and hyper sends the head alone.
        if response.body().is_end_stream() {
            self.end_response(code, &Meter::default());
        } else if code == Some(Code::OK) && series.single_response {
            // The message is still to come.
            self.head = self.head.with_ok();
        } else if code.is_some() {
            self.end(code);
        }
    }

    /// Ends the call at the end of its response, with `code`, or else the code in the head or of
    /// the HTTP status. An OK takes the messages that it should have.
    #[inline(always)]
    pub(crate) fn end_response(&mut self, code: Option<Code>, meter: &Meter<false>) {
        let Some(series) = self.series else { return };
        let mut code = match code {
            None if self.head.has_ok() => Some(Code::OK),
            code => code,
        };
        if code == Some(Code::OK) && !meter.allows_ok(series) {
            code = Some(Code::INTERNAL);
        }
        self.end(code);
    }

    /// Ends the call, unless its body is not gRPC, such as the page of a proxy.
    #[cold]
    pub(crate) fn end_invalid(&mut self) {
        if self.head.status() == Some(StatusCode::OK) {
            self.end(Some(Code::INTERNAL));
        }
    }

    /// Ends the call, unless it has ended, with `code` or else the code of the HTTP status.
    #[inline]
    pub(crate) fn end(&mut self, code: Option<Code>) {
        if let Some((series, start)) = self.close() {
            let mut code = code.unwrap_or_else(|| self.head.http_code());
            // After a reset of the request body the handler may see a regular end and respond as
            // usual. tonic reports an expired client deadline as `Cancelled`, and so may the peer.
            let reset = self.reset.flag().is_some_and(ResetFlag::is_set);
            if reset || (code == Code::CANCELED && R::SIDE == Side::Client) {
                code = deadline_or_canceled::<R>(start, self.deadline);
            }
            record(series, start, self.trace_id, code);
        }
    }

    /// Makes the call ended. `None` if it has ended already.
    #[inline]
    const fn close(&mut self) -> Option<(&'static Series, Instant)> {
        match (self.series, self.start.take()) {
            (Some(series), Some(start)) => Some((series, start)),
            _ => None,
        }
    }
}

impl<R: Role> Drop for OpenCall<R> {
    #[inline]
    fn drop(&mut self) {
        if let Some((series, start)) = self.close() {
            record_dropped::<R>(series, start, self.deadline, self.trace_id, self.head);
        }
        self.reset.close();
    }
}

// === impl PanicGuard ===

impl<R: Role> Drop for PanicGuard<'_, R> {
    #[inline]
    fn drop(&mut self) {
        if let Some((series, start)) = self.0.close() {
            record(series, start, self.0.trace_id, Code::INTERNAL);
        }
    }
}

#[inline(never)]
fn record(series: &Series, start: Instant, trace_id: TraceId, code: Code) {
    series.handle(code.index(), clock::nanos_since(start), trace_id);
}

/// Records a call whose future or body was dropped. Must not allocate or panic.
///
/// A panic that unwinds meanwhile is not this call's: [`PanicGuard`] records those.
#[cold]
#[inline(never)]
fn record_dropped<R: Role>(
    series: &Series,
    start: Instant,
    deadline: u64,
    trace_id: TraceId,
    head: ResponseHead,
) {
    let code = match head.status() {
        _ if head.has_ok() => Code::OK,
        // The client has dropped a response that is not gRPC, so its HTTP status is the outcome.
        Some(status) if status != StatusCode::OK && R::SIDE == Side::Client => {
            Code::from_http(status)
        }
        _ => deadline_or_canceled::<R>(start, deadline),
    };
    record(series, start, trace_id, code);
}

#[cold]
#[inline(never)]
fn deadline_or_canceled<R: Role>(start: Instant, deadline: u64) -> Code {
    if is_past_deadline(R::SIDE, deadline, clock::nanos_since(start)) {
        Code::DEADLINE_EXCEEDED
    } else {
        Code::CANCELED
    }
}

/// The caller's timer starts before the server's, so its cancellation may arrive slightly before
/// the server's deadline.
fn is_past_deadline(side: Side, deadline: u64, elapsed: u64) -> bool {
    let early = match side {
        Side::Server => MAX_EARLY.min(deadline / 10),
        Side::Client => 0,
    };
    elapsed >= deadline - early
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::recording::clock::NEVER;

    const MS: u64 = 1_000_000;

    #[test]
    fn a_server_attributes_a_cancellation_to_the_deadline_up_to_a_tenth_or_10_ms_before_it() {
        for (deadline, from) in [
            (1_000 * MS, 990 * MS),
            (100 * MS, 90 * MS),
            (10 * MS, 9 * MS),
        ] {
            assert!(
                !is_past_deadline(Side::Server, deadline, from - 1),
                "{deadline}"
            );
            assert!(is_past_deadline(Side::Server, deadline, from), "{deadline}");
        }
        assert!(is_past_deadline(Side::Server, 0, 0));
    }

    #[test]
    fn a_client_attributes_it_to_the_deadline_from_the_deadline_on() {
        assert!(!is_past_deadline(Side::Client, 100 * MS, 100 * MS - 1));
        assert!(is_past_deadline(Side::Client, 100 * MS, 100 * MS));
    }

    #[test]
    fn without_a_deadline_no_cancellation_is_attributed_to_one() {
        for side in [Side::Server, Side::Client] {
            assert!(!is_past_deadline(side, NEVER, u64::MAX / 2));
        }
    }
}
