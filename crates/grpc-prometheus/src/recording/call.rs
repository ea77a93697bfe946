//! One RPC from start to end. It is recorded exactly once, also when it is dropped.

use std::{thread, time::Instant};

use http::{Request, Response, StatusCode};
use http_body::Body;

use super::{clock, code::Code, reset::ResetFlag, timeout, trace};
use crate::series::{Series, Side, TraceId};

/// A server attributes a cancellation to the deadline if it arrives at most this early, in
/// nanoseconds.
const MAX_EARLY: u64 = 10_000_000;

/// The state of an open call: plain words, passed by value.
///
/// No function that is not inlined borrows it, and no code that is not inlined drops it. So the
/// compiler can leave the words in place when the request, the response or a future moves.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Call {
    pub(crate) series: &'static Series,
    start: Instant,
    /// In nanoseconds from the start; [`NEVER`](clock::NEVER) without a deadline.
    deadline: u64,
    /// [`NONE`](TraceId::NONE) unless the trace is sampled.
    trace_id: TraceId,
    /// The HTTP status, once the response head has arrived.
    status: Option<StatusCode>,
}

/// Owns a call until it ends. Dropping it ends the call.
#[derive(Debug)]
pub(crate) struct OpenCall {
    /// `None` if the call has ended or is not counted.
    call: Option<Call>,
    /// Closed on drop. Client calls have none.
    reset: Option<ResetFlag>,
}

/// Records the call as `Internal` on drop, that is, during a panic. Forgotten if the guarded code
/// returns.
///
/// The drop of [`OpenCall`] comes too late for this: an outer layer may have caught the panic.
#[derive(Debug)]
pub(crate) struct PanicGuard<'a>(&'a mut OpenCall);

// === impl Call ===

impl Call {
    #[inline]
    pub(crate) fn start<B>(
        series: &'static Series,
        request: &Request<B>,
        server_timeout: u64,
    ) -> Self {
        series.start();
        let mut deadline = server_timeout;
        if let Some(requested) = timeout::from_headers(request.headers()) {
            deadline = deadline.min(clock::nanos(requested));
        }
        let trace_id = match series.schema.config.exemplars {
            true => trace::find(request.headers(), request.extensions()),
            false => None,
        };
        let trace_id = trace_id.unwrap_or(TraceId::NONE);
        Self {
            start: Instant::now(),
            deadline,
            trace_id,
            status: None,
            series,
        }
    }

    /// The code of a response without `grpc-status`.
    #[inline]
    fn http_code(self) -> Code {
        self.status.map_or(Code::UNKNOWN, Code::from_http)
    }

    /// Records a call that ended with `code`, on the wire or by an error.
    ///
    /// After a reset of the request body the handler may see a regular end and respond as usual, so
    /// `was_reset` overrides the code.
    #[inline(never)]
    fn end(self, code: Code, was_reset: bool) {
        let elapsed = clock::nanos_since(self.start);
        // tonic reports an expired client deadline as `Cancelled`, and so may the peer.
        let client = self.side() == Side::Client;
        let code = match code {
            _ if was_reset => self.deadline_or_canceled(elapsed),
            Code::CANCELED if client => self.deadline_or_canceled(elapsed),
            code => code,
        };
        self.record(elapsed, code);
    }

    /// Records a call whose future or body was dropped. Must not allocate or panic.
    #[cold]
    #[inline(never)]
    fn dropped(self) {
        let answered = self.status.is_some_and(|status| status != StatusCode::OK);
        let elapsed = clock::nanos_since(self.start);
        if thread::panicking() {
            self.record(elapsed, Code::INTERNAL);
        } else if answered && self.side() == Side::Client {
            // The client has dropped a response that is not gRPC, so its HTTP status is the
            // outcome.
            self.end(self.http_code(), false);
        } else {
            self.record(elapsed, self.deadline_or_canceled(elapsed));
        }
    }

    #[cold]
    #[inline(never)]
    fn panicked(self) {
        self.record(clock::nanos_since(self.start), Code::INTERNAL);
    }

    #[inline]
    fn record(self, elapsed: u64, code: Code) {
        self.series.handled(code.index(), elapsed, self.trace_id);
    }

    fn side(self) -> Side {
        self.series.side
    }

    fn deadline_or_canceled(self, elapsed: u64) -> Code {
        if is_past_deadline(self.side(), self.deadline, elapsed) {
            Code::DEADLINE_EXCEEDED
        } else {
            Code::CANCELED
        }
    }
}

// === impl OpenCall ===

impl OpenCall {
    #[inline]
    pub(crate) const fn new(call: Option<Call>, reset: Option<ResetFlag>) -> Self {
        Self { call, reset }
    }

    /// Moves the call out.
    #[inline]
    pub(crate) const fn take(&mut self) -> Self {
        Self {
            call: self.call.take(),
            reset: self.reset.take(),
        }
    }

    #[inline]
    pub(crate) const fn series(&self) -> Option<&'static Series> {
        match self.call {
            Some(call) => Some(call.series),
            None => None,
        }
    }

    #[inline]
    pub(crate) const fn reset(&self) -> Option<ResetFlag> {
        self.reset
    }

    #[inline]
    pub(crate) const fn is_ended(&self) -> bool {
        self.call.is_none()
    }

    #[inline]
    pub(crate) const fn on_panic(&mut self) -> PanicGuard<'_> {
        PanicGuard(self)
    }

    /// Handles the response head, which may carry the trace id and may end the call.
    #[inline]
    pub(crate) fn on_response<B: Body>(&mut self, response: &Response<B>) {
        let Some(call) = &mut self.call else { return };
        call.status = Some(response.status());
        if call.series.schema.config.exemplars && call.trace_id == TraceId::NONE {
            let trace_id = response.extensions().get().copied();
            call.trace_id = trace_id.unwrap_or(TraceId::NONE);
        }
        let code = Code::from_headers(response.headers());
        // A body at its end is never polled: tonic drops it, and hyper sends the head alone.
        if code.is_some() || response.body().is_end_stream() {
            self.end(code);
        }
    }

    /// Ends the call, unless it has ended, with `code` or else the code of the HTTP status.
    #[inline]
    pub(crate) fn end(&mut self, code: Option<Code>) {
        if let Some(call) = self.call.take() {
            let was_reset = self.reset.is_some_and(ResetFlag::is_set);
            call.end(code.unwrap_or_else(|| call.http_code()), was_reset);
        }
    }
}

impl Drop for OpenCall {
    #[inline]
    fn drop(&mut self) {
        if let Some(call) = self.call.take() {
            call.dropped();
        }
        if let Some(reset) = self.reset {
            reset.close();
        }
    }
}

// === impl PanicGuard ===

impl Drop for PanicGuard<'_> {
    #[inline]
    fn drop(&mut self) {
        if let Some(call) = self.0.call.take() {
            call.panicked();
        }
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
