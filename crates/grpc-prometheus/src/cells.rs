//! The atomics of one series, and where in them each number lives.
//!
//! # Memory ordering
//!
//! A call adds to `started` before anything else and to `handled` last, both in the same shard.
//! `handled` is added to with `Release` and read with `Acquire`, and read before `started`. Every
//! write to a `handled` word is a read-modify-write, so a reader that sees the n-th value
//! synchronises with all n calls that made it, and sees the `started` of each (a call's own two
//! adds are ordered by program order or by whatever handed its future from thread to thread).
//! Hence started ≥ Σ handled in every scrape. All other adds are `Relaxed`: each word only grows,
//! and per-word coherence keeps two scrapes that follow one another from going back.

use std::{
    cell::Cell,
    sync::{
        Arc,
        atomic::{AtomicU32, AtomicU64, Ordering},
    },
    thread,
};

use crate::{code::Code, families::CODES, store::Plan};

/// Enough for 16 threads that hammer one method; more shards cost memory and scrape time.
const MAX_SHARDS: usize = 16;

const STARTED: usize = 0;
const RECEIVED: usize = 1;
const SENT: usize = 2;
const HANDLED_OK: usize = 3;
const HANDLING: usize = 4;

/// Two cache lines, because x86 prefetches them in pairs.
#[derive(Debug, Default)]
#[repr(align(128))]
struct Line([AtomicU64; LINE]);

const LINE: usize = 16;

/// Positions of the numbers in [`Cells`]; the same for all series of a registration.
#[derive(Debug)]
pub(crate) struct Layout {
    pub(crate) handling: Option<Histogram>,
    pub(crate) received_bytes: Option<Histogram>,
    pub(crate) sent_bytes: Option<Histogram>,
    pub(crate) receive_time: Option<Histogram>,
    pub(crate) send_time: Option<Histogram>,
    failed: usize,
    words: usize,
}

/// Some histograms with the same bounds, one after the other.
#[derive(Debug)]
pub(crate) struct Histogram {
    offset: usize,
    slots: usize,
    /// Upper bounds, inclusive: nanoseconds or bytes.
    bounds: Box<[u64]>,
}

/// One shard of the numbers of one series.
#[derive(Debug)]
pub(crate) struct Cells {
    pub(crate) plan: Arc<Plan>,
    lines: Box<[Line]>,
}

/// The numbers of one series, spread over shards to keep threads apart.
#[derive(Debug)]
pub(crate) struct Series {
    shards: Box<[Arc<Cells>]>,
}

/// A copy of the numbers of one series, summed over shards.
#[derive(Debug)]
pub(crate) struct Reading {
    words: Box<[u64]>,
    failed: usize,
}

// === impl Layout ===

impl Layout {
    pub(crate) fn new(
        handling: Option<(Box<[u64]>, usize)>,
        bytes: Option<Box<[u64]>>,
        times: Option<Box<[u64]>>,
    ) -> Self {
        let mut words = HANDLING;
        let mut place = |bounds: Option<(Box<[u64]>, usize)>| {
            let (bounds, slots) = bounds?;
            let histogram = Histogram {
                offset: words,
                slots,
                bounds,
            };
            words += histogram.stride() * slots;
            Some(histogram)
        };
        let handling = place(handling);
        let received_bytes = place(bytes.clone().map(|bounds| (bounds, 1)));
        let sent_bytes = place(bytes.map(|bounds| (bounds, 1)));
        let receive_time = place(times.clone().map(|bounds| (bounds, 1)));
        let send_time = place(times.map(|bounds| (bounds, 1)));
        Self {
            handling,
            received_bytes,
            sent_bytes,
            receive_time,
            send_time,
            failed: words,
            words: words + CODES - 1,
        }
    }
}

// === impl Histogram ===

impl Histogram {
    /// The sum, one word per bound, one for `+Inf`.
    fn stride(&self) -> usize {
        self.bounds.len() + 2
    }

    pub(crate) fn bucket(&self, value: u64) -> usize {
        self.bounds.partition_point(|bound| *bound < value)
    }

    pub(crate) const fn slots(&self) -> usize {
        self.slots
    }

    pub(crate) const fn bounds(&self) -> &[u64] {
        &self.bounds
    }
}

// === impl Cells ===

impl Cells {
    fn new(plan: Arc<Plan>) -> Self {
        let lines = plan.layout.words.div_ceil(LINE);
        Self {
            plan,
            lines: (0..lines).map(|_| Line::default()).collect(),
        }
    }

    fn word(&self, index: usize) -> &AtomicU64 {
        &self.lines[index / LINE].0[index % LINE]
    }

    fn add(&self, index: usize, value: u64) {
        self.word(index).fetch_add(value, Ordering::Relaxed);
    }

    pub(crate) fn start(&self) {
        self.add(STARTED, 1);
    }

    pub(crate) fn received(&self, bytes: u32) {
        self.add(RECEIVED, 1);
        self.observe(
            self.plan.layout.received_bytes.as_ref(),
            0,
            u64::from(bytes),
        );
    }

    pub(crate) fn sent(&self, bytes: u32) {
        self.add(SENT, 1);
        self.observe(self.plan.layout.sent_bytes.as_ref(), 0, u64::from(bytes));
    }

    pub(crate) fn handled(&self, code: Code, nanos: u64) {
        let layout = &self.plan.layout;
        let slot = self.plan.config.code_label.slot(code.index());
        self.observe(layout.handling.as_ref(), slot, nanos);
        self.word(layout.handled(code.index()))
            .fetch_add(1, Ordering::Release);
    }

    pub(crate) fn observe(&self, histogram: Option<&Histogram>, slot: usize, value: u64) {
        let Some(histogram) = histogram else { return };
        let sum = histogram.offset + slot * histogram.stride();
        self.add(sum, value);
        self.add(sum + 1 + histogram.bucket(value), 1);
    }
}

impl Layout {
    const fn handled(&self, code: usize) -> usize {
        match code {
            0 => HANDLED_OK,
            _ => self.failed + code - 1,
        }
    }
}

// === impl Series ===

impl Series {
    pub(crate) fn new(plan: &Arc<Plan>) -> Self {
        let shard = |_| Arc::new(Cells::new(Arc::clone(plan)));
        Self {
            shards: (0..plan.shards).map(shard).collect(),
        }
    }

    /// The shard of this thread.
    pub(crate) fn cells(&self) -> &Arc<Cells> {
        // The number of shards is a power of two.
        &self.shards[thread_ticket() as usize & (self.shards.len() - 1)]
    }

    pub(crate) fn read(&self) -> Reading {
        let layout = &self.shards[0].plan.layout;
        let mut words = vec![0; layout.words].into_boxed_slice();
        let handled = |index: usize| index == HANDLED_OK || index >= layout.failed;
        for index in (0..layout.words).filter(|index| handled(*index)) {
            words[index] = self.sum(index, Ordering::Acquire);
        }
        for index in (0..layout.words).filter(|index| !handled(*index)) {
            words[index] = self.sum(index, Ordering::Relaxed);
        }
        Reading {
            words,
            failed: layout.failed,
        }
    }

    fn sum(&self, index: usize, ordering: Ordering) -> u64 {
        let words = self.shards.iter().map(|cells| cells.word(index));
        words.map(|word| word.load(ordering)).sum()
    }
}

pub(crate) fn shards() -> usize {
    let threads = thread::available_parallelism().map_or(1, usize::from);
    threads.min(MAX_SHARDS).next_power_of_two()
}

/// A number that this thread shares with no other thread that lives.
pub(crate) fn thread_ticket() -> u32 {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    thread_local! {
        static TICKET: Cell<u32> = const { Cell::new(u32::MAX) };
    }
    TICKET.with(|ticket| {
        if ticket.get() == u32::MAX {
            ticket.set(NEXT.fetch_add(1, Ordering::Relaxed));
        }
        ticket.get()
    })
}

// === impl Reading ===

impl Reading {
    pub(crate) const fn started(&self) -> u64 {
        self.words[STARTED]
    }

    pub(crate) const fn received(&self) -> u64 {
        self.words[RECEIVED]
    }

    pub(crate) const fn sent(&self) -> u64 {
        self.words[SENT]
    }

    pub(crate) const fn handled(&self, code: usize) -> u64 {
        match code {
            0 => self.words[HANDLED_OK],
            _ => self.words[self.failed + code - 1],
        }
    }

    pub(crate) fn in_flight(&self) -> u64 {
        let handled: u64 = (0..CODES).map(|code| self.handled(code)).sum();
        self.started() - handled
    }

    pub(crate) fn histogram(&self, histogram: &Histogram, slot: usize) -> (u64, &[u64]) {
        let sum = histogram.offset + slot * histogram.stride();
        let buckets = &self.words[sum + 1..sum + histogram.stride()];
        (self.words[sum], buckets)
    }
}
