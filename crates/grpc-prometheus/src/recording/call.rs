//! One RPC from its start to its end: ends once, whoever ends it, also by drop.

use std::{thread, time::Instant};

use http::{Request, Response, StatusCode};
use http_body::Body;

use super::{clock, code::Code, reset::ResetFlag, timeout, trace};
use crate::series::{Series, Side, TraceId};

/// How much before a server's deadline a cancel still counts as that deadline.
const MAX_EARLY: u64 = 10_000_000;

/// What a call that has not ended knows: plain words that go from hand to hand by value.
///
/// Nobody borrows one across a function that is not inlined, nor is it dropped by code that is
/// not: then the compiler can leave the words where they are instead of moving them each time
/// that a request, a response or a future moves.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Call {
    pub(crate) series: &'static Series,
    start: Instant,
    /// Nanoseconds from the start; [`NEVER`](clock::NEVER) if there is none.
    deadline: u64,
    /// [`NONE`](TraceId::NONE) in a trace that is not sampled.
    trace_id: TraceId,
    /// Of the response, once its head has come.
    status: Option<StatusCode>,
}

/// Holds a call until it ends; to be dropped with it is an ending too.
#[derive(Debug)]
pub(crate) struct Open {
    /// `None` if the call has ended, or is not counted.
    call: Option<Call>,
    /// Closed when this is dropped. A client has none.
    reset: Option<ResetFlag>,
}

/// Ends the call if it is dropped: to be forgotten when what might panic has not.
///
/// The drop of what is open cannot tell if somebody outside catches the panic before it.
#[derive(Debug)]
pub(crate) struct OnPanic<'a>(&'a mut Open);

// === impl Call ===

impl Call {
    #[inline]
    pub(crate) fn start<B>(series: &'static Series, request: &Request<B>, timeout: u64) -> Self {
        series.start();
        let mut deadline = timeout;
        if let Some(asked) = timeout::from_headers(request.headers()) {
            deadline = deadline.min(clock::nanos(asked));
        }
        let trace_id = match series.plan.config.exemplars {
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

    /// The code of an answer that ended without one.
    #[inline]
    fn http_code(self) -> Code {
        self.status.map_or(Code::UNKNOWN, Code::from_http)
    }

    /// The call ended with this code, on the wire or in an error.
    ///
    /// A request body that was reset may look to the handler like one that ended.
    #[inline(never)]
    fn end(self, code: Code, was_reset: bool) {
        let elapsed = clock::nanos_since(self.start);
        // tonic says `Cancelled` when the client's own deadline expires, and so may the peer.
        let client = self.side() == Side::Client;
        let code = match code {
            _ if was_reset => self.late_or_canceled(elapsed),
            Code::CANCELED if client => self.late_or_canceled(elapsed),
            code => code,
        };
        self.record(elapsed, code);
    }

    /// Nobody ended it: the future or the body was dropped. Must not allocate nor panic.
    #[cold]
    #[inline(never)]
    fn dropped(self) {
        let answered = self.status.is_some_and(|status| status != StatusCode::OK);
        let elapsed = clock::nanos_since(self.start);
        if thread::panicking() {
            self.record(elapsed, Code::INTERNAL);
        } else if answered && self.side() == Side::Client {
            // A client that leaves what is no gRPC has its answer.
            self.end(self.http_code(), false);
        } else {
            self.record(elapsed, self.late_or_canceled(elapsed));
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

    fn late_or_canceled(self, elapsed: u64) -> Code {
        if is_late(self.side(), self.deadline, elapsed) {
            Code::DEADLINE_EXCEEDED
        } else {
            Code::CANCELED
        }
    }
}

// === impl Open ===

impl Open {
    #[inline]
    pub(crate) const fn new(call: Option<Call>, reset: Option<ResetFlag>) -> Self {
        Self { call, reset }
    }

    /// Leaves nothing open here.
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
    pub(crate) const fn on_panic(&mut self) -> OnPanic<'_> {
        OnPanic(self)
    }

    /// The head of the response has come: it may know the trace, and be the end.
    #[inline]
    pub(crate) fn answered<B: Body>(&mut self, response: &Response<B>) {
        let Some(call) = &mut self.call else { return };
        call.status = Some(response.status());
        if call.series.plan.config.exemplars && call.trace_id == TraceId::NONE {
            let trace_id = response.extensions().get().copied();
            call.trace_id = trace_id.unwrap_or(TraceId::NONE);
        }
        let code = Code::from_headers(response.headers());
        // Nobody polls a body that is at its end: tonic drops it, hyper sends the head alone.
        if code.is_some() || response.body().is_end_stream() {
            self.end(code);
        }
    }

    /// Ends the call, if it has not ended, by this code or by that of the HTTP status.
    #[inline]
    pub(crate) fn end(&mut self, code: Option<Code>) {
        if let Some(call) = self.call.take() {
            let was_reset = self.reset.is_some_and(ResetFlag::is_set);
            call.end(code.unwrap_or_else(|| call.http_code()), was_reset);
        }
    }
}

impl Drop for Open {
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

// === impl OnPanic ===

impl Drop for OnPanic<'_> {
    #[inline]
    fn drop(&mut self) {
        if let Some(call) = self.0.call.take() {
            call.panicked();
        }
    }
}

/// The caller's clock started before a server's, so the cancel that its timer sends may arrive a
/// little before the server's is over.
fn is_late(side: Side, deadline: u64, elapsed: u64) -> bool {
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
    fn a_server_takes_a_cancel_for_its_deadline_from_ten_ms_or_a_tenth_before_it() {
        for (deadline, from) in [
            (1_000 * MS, 990 * MS),
            (100 * MS, 90 * MS),
            (10 * MS, 9 * MS),
        ] {
            assert!(!is_late(Side::Server, deadline, from - 1), "{deadline}");
            assert!(is_late(Side::Server, deadline, from), "{deadline}");
        }
        assert!(is_late(Side::Server, 0, 0));
    }

    #[test]
    fn a_client_takes_it_for_its_deadline_at_the_deadline() {
        assert!(!is_late(Side::Client, 100 * MS, 100 * MS - 1));
        assert!(is_late(Side::Client, 100 * MS, 100 * MS));
    }

    #[test]
    fn without_a_deadline_no_call_is_late() {
        for side in [Side::Server, Side::Client] {
            assert!(!is_late(side, NEVER, u64::MAX / 2));
        }
    }
}
