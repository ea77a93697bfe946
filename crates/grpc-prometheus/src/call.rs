//! One RPC from its start to its end: ends once, whoever ends it, also by drop.

use std::{
    cell::Cell,
    sync::Arc,
    thread,
    time::{Duration, Instant},
};

use http::{Request, Response};
use http_body::Body;

use crate::{
    cells::{self, Cells},
    code::Code,
    exemplar::TraceId,
    families::Side,
    timeout,
};

/// How much before a server's deadline a cancel still counts as that deadline.
const MAX_EARLY: Duration = Duration::from_millis(10);

/// Made when a request arrives; moves from future to body; its drop is an ending too.
#[derive(Debug)]
pub(crate) struct Call {
    cells: Arc<Cells>,
    start: Instant,
    deadline: Option<Duration>,
    trace_id: Option<TraceId>,
    id: u64,
    /// Resets that were noted before this call.
    resets: u64,
    ended: bool,
}

/// Ends the call if it is dropped: to be forgotten when what might panic has not.
///
/// The drop of the call itself cannot tell if somebody outside catches the panic before it.
#[derive(Debug)]
pub(crate) struct OnPanic<'a>(pub(crate) Option<&'a mut Call>);

// === impl Call ===

impl Call {
    pub(crate) fn start<B>(cells: &Arc<Cells>, request: &Request<B>) -> Self {
        cells.start();
        let find = || TraceId::find(request.headers(), request.extensions());
        let plan = &cells.plan;
        Self {
            start: Instant::now(),
            deadline: timeout::from_headers(request.headers()),
            trace_id: plan.config.exemplars.then(find).flatten(),
            id: next_id(),
            resets: plan.resets.noted(),
            ended: false,
            cells: Arc::clone(cells),
        }
    }

    pub(crate) const fn cells(&self) -> &Arc<Cells> {
        &self.cells
    }

    pub(crate) const fn id(&self) -> u64 {
        self.id
    }

    pub(crate) const fn is_ended(&self) -> bool {
        self.ended
    }

    /// The head of the response has come: it may know the trace, and be the end.
    pub(crate) fn answered<B: Body>(&mut self, response: &Response<B>) {
        if self.cells.plan.config.exemplars && self.trace_id.is_none() {
            self.trace_id = response.extensions().get::<TraceId>().copied();
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
    pub(crate) fn end(&mut self, code: Code) {
        self.record(|call, elapsed| {
            let late = call.is_late(elapsed);
            // tonic says `Cancelled` when the client's own deadline expires, and so may the peer.
            let client = call.cells.plan.config.side == Side::Client;
            match code {
                _ if call.was_reset() => late_or_canceled(late),
                Code::CANCELED if client => late_or_canceled(late),
                code => code,
            }
        });
    }

    fn record(&mut self, code: impl FnOnce(&Self, Duration) -> Code) {
        if self.ended {
            return;
        }
        self.ended = true;
        let elapsed = self.start.elapsed();
        let code = code(self, elapsed);
        // A call of 584 years would not fit.
        let nanos = elapsed.as_nanos() as u64;
        self.cells.handled(code, nanos, self.trace_id);
    }

    /// The caller's clock started before ours, so the cancel that its timer sends may reach us a
    /// little before ours is over.
    fn is_late(&self, elapsed: Duration) -> bool {
        self.deadline.is_some_and(|deadline| {
            let early = match self.cells.plan.config.side {
                Side::Server => MAX_EARLY.min(deadline / 10),
                Side::Client => Duration::ZERO,
            };
            elapsed + early >= deadline
        })
    }

    /// A request body that was reset may look to the handler like one that ended.
    fn was_reset(&self) -> bool {
        let resets = &self.cells.plan.resets;
        resets.noted() != self.resets && resets.contains(self.id)
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

const fn late_or_canceled(late: bool) -> Code {
    if late {
        Code::DEADLINE_EXCEEDED
    } else {
        Code::CANCELED
    }
}

/// Not 0, and no other call of the process has it.
fn next_id() -> u64 {
    thread_local! {
        static CALLS: Cell<u64> = const { Cell::new(0) };
    }
    CALLS.with(|calls| {
        calls.set(calls.get() + 1);
        // Threads would have to start 2^24 calls of 2^40 to meet.
        u64::from(cells::thread_ticket()) << 40 | calls.get()
    })
}

// === impl OnPanic ===

impl Drop for OnPanic<'_> {
    fn drop(&mut self) {
        if let Some(call) = &mut self.0 {
            call.record(|_, _| Code::INTERNAL);
        }
    }
}
