//! One RPC from its start to its end: ends once, whoever ends it, also by drop.

use std::{
    cell::Cell,
    sync::atomic::{AtomicU64, Ordering},
    thread,
    time::{Duration, Instant},
};

use http::{Request, Response};
use http_body::Body;

use crate::{cells::Series, code::Code, exemplar::TraceId, families::Side, timeout};

/// How much before a server's deadline a cancel still counts as that deadline.
const MAX_EARLY: u64 = 10_000_000;

/// A deadline that nobody lives to see.
const FAR: u64 = u64::MAX;

/// Made when a request arrives; moves from future to body; its drop is an ending too.
#[derive(Debug)]
pub(crate) struct Call {
    series: &'static Series,
    start: Instant,
    /// Nanoseconds from the start; [`FAR`] if there is none.
    deadline: u64,
    /// [`NONE`](TraceId::NONE) in a trace that is not sampled.
    trace_id: TraceId,
    id: u64,
    /// Resets that were noted before this call.
    resets: u32,
    ended: bool,
}

/// Ends the call if it is dropped: to be forgotten when what might panic has not.
///
/// The drop of the call itself cannot tell if somebody outside catches the panic before it.
#[derive(Debug)]
pub(crate) struct OnPanic<'a>(pub(crate) Option<&'a mut Call>);

// === impl Call ===

impl Call {
    #[inline]
    pub(crate) fn start<B>(series: &'static Series, request: &Request<B>) -> Self {
        series.start();
        let plan = &series.plan;
        let asked = timeout::from_headers(request.headers());
        let deadline = [asked, plan.config.timeout].into_iter().flatten().min();
        let trace_id = match plan.config.exemplars {
            true => TraceId::find(request.headers(), request.extensions()),
            false => None,
        };
        let trace_id = trace_id.unwrap_or(TraceId::NONE);
        Self {
            start: Instant::now(),
            deadline: deadline.map_or(FAR, nanos),
            trace_id,
            id: next_id(),
            resets: plan.resets.noted(),
            ended: false,
            series,
        }
    }

    pub(crate) const fn series(&self) -> &'static Series {
        self.series
    }

    pub(crate) const fn id(&self) -> u64 {
        self.id
    }

    pub(crate) const fn is_ended(&self) -> bool {
        self.ended
    }

    /// The head of the response has come: it may know the trace, and be the end.
    pub(crate) fn answered<B: Body>(&mut self, response: &Response<B>) {
        if self.series.plan.config.exemplars && self.trace_id == TraceId::NONE {
            let trace_id = response.extensions().get().copied();
            self.trace_id = trace_id.unwrap_or(TraceId::NONE);
        }
        // Nobody polls a body that is at its end: tonic drops it, hyper sends the head alone.
        let at_end = response.body().is_end_stream();
        let code = Code::from_headers(response.headers())
            .or_else(|| at_end.then(|| Code::from_http(response.status())));
        if let Some(code) = code {
            self.end(code);
        }
    }

    /// The call ended with this code, on the wire or in an error.
    #[inline]
    pub(crate) fn end(&mut self, code: Code) {
        self.record(|call, elapsed| {
            let late = || call.is_late(elapsed);
            // tonic says `Cancelled` when the client's own deadline expires, and so may the peer.
            let client = call.series.plan.config.side == Side::Client;
            match code {
                _ if call.was_reset() => late_or_canceled(late()),
                Code::CANCELED if client => late_or_canceled(late()),
                code => code,
            }
        });
    }

    fn record(&mut self, code: impl FnOnce(&Self, u64) -> Code) {
        if self.ended {
            return;
        }
        self.ended = true;
        let elapsed = nanos(self.start.elapsed());
        let code = code(self, elapsed);
        self.series.handled(code, elapsed, self.trace_id);
    }

    fn is_late(&self, elapsed: u64) -> bool {
        is_late(self.series.plan.config.side, self.deadline, elapsed)
    }

    /// A request body that was reset may look to the handler like one that ended.
    fn was_reset(&self) -> bool {
        self.series.plan.resets.contains(self.id, self.resets)
    }
}

impl Drop for Call {
    /// Nobody ended it: the future or the body was dropped. Must not allocate nor panic.
    fn drop(&mut self) {
        self.record(|call, elapsed| {
            if thread::panicking() {
                Code::INTERNAL
            } else {
                late_or_canceled(call.is_late(elapsed))
            }
        });
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

const fn late_or_canceled(late: bool) -> Code {
    if late {
        Code::DEADLINE_EXCEEDED
    } else {
        Code::CANCELED
    }
}

/// At most [`FAR`]: 584 years.
fn nanos(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(FAR)
}

/// Not 0, and no other call of the process has it.
fn next_id() -> u64 {
    /// Threads would have to be 2^24, or calls of one 2^40, for two ids to meet.
    static THREADS: AtomicU64 = AtomicU64::new(0);
    thread_local! {
        static LAST: Cell<u64> = const { Cell::new(0) };
    }
    let last = match LAST.get() {
        0 => THREADS.fetch_add(1, Ordering::Relaxed) << 40,
        last => last,
    };
    LAST.set(last + 1);
    last + 1
}

// === impl OnPanic ===

impl Drop for OnPanic<'_> {
    fn drop(&mut self) {
        if let Some(call) = &mut self.0 {
            call.record(|_, _| Code::INTERNAL);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

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
            assert!(!is_late(side, FAR, u64::MAX / 2));
        }
    }
}
