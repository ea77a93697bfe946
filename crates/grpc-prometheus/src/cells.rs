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

use crate::{
    code::Code,
    exemplar::{Exemplar, Slot, TraceId},
    families::CODES,
    labels::Labels,
    openmetrics,
    store::Plan,
};

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
    bounds: Bounds,
}

/// The bounds of a histogram, as counted and as printed.
#[derive(Clone, Debug)]
pub(crate) struct Bounds {
    /// Seconds or bytes, without `+Inf`.
    pub(crate) upper: Box<[f64]>,
    /// The same in whole nanoseconds or bytes, inclusive.
    units: Box<[u64]>,
    /// Units in one of `upper`.
    pub(crate) scale: f64,
    /// `,le="…"} ` for each bucket with that of `+Inf`, in both formats.
    pub(crate) text: Arc<[String]>,
    pub(crate) openmetrics: Arc<[String]>,
}

/// One shard of the numbers of one series.
#[derive(Debug)]
pub(crate) struct Cells {
    pub(crate) plan: Arc<Plan>,
    lines: Box<[Line]>,
    /// One per bucket of the handling-time histograms; shared by the shards.
    exemplars: Option<Arc<[Slot]>>,
}

/// The numbers of one series, spread over shards to keep threads apart.
#[derive(Debug)]
pub(crate) struct Series {
    pub(crate) labels: Labels,
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
        handling: Option<(Bounds, usize)>,
        bytes: Option<&Bounds>,
        times: Option<&Bounds>,
    ) -> Self {
        let mut words = HANDLING;
        let mut place = |bounds: Option<(Bounds, usize)>| {
            let (bounds, slots) = bounds?;
            let offset = words;
            let histogram = Histogram {
                offset,
                slots,
                bounds,
            };
            words += histogram.stride() * slots;
            Some(histogram)
        };
        let single = |bounds: Option<&Bounds>| bounds.map(|bounds| (bounds.clone(), 1));
        Self {
            handling: place(handling),
            received_bytes: place(single(bytes)),
            sent_bytes: place(single(bytes)),
            receive_time: place(single(times)),
            send_time: place(single(times)),
            failed: words,
            words: words + CODES - 1,
        }
    }

    const fn handled(&self, code: usize) -> usize {
        match code {
            0 => HANDLED_OK,
            _ => self.failed + code - 1,
        }
    }
}

// === impl Histogram ===

impl Histogram {
    /// The sum, one word per bound, one for `+Inf`.
    const fn stride(&self) -> usize {
        self.buckets() + 1
    }

    /// With the one for `+Inf`.
    const fn buckets(&self) -> usize {
        self.bounds.units.len() + 1
    }

    fn bucket(&self, value: u64) -> usize {
        self.bounds.units.partition_point(|bound| *bound < value)
    }

    pub(crate) const fn slots(&self) -> usize {
        self.slots
    }

    pub(crate) const fn bounds(&self) -> &Bounds {
        &self.bounds
    }
}

// === impl Bounds ===

impl Bounds {
    pub(crate) fn seconds(upper: &[f64]) -> Self {
        Self::new(upper, 1e9)
    }

    pub(crate) fn bytes(upper: &[f64]) -> Self {
        Self::new(upper, 1.0)
    }

    fn new(upper: &[f64], scale: f64) -> Self {
        // A value is whole, so it is at most a bound if it is at most the bound rounded down; the
        // rounding before that undoes the binary error of bounds such as 0.0003 s.
        let unit = |bound: &f64| {
            let units = bound * scale;
            let near = units.round();
            let exact = (near - units).abs() < 1e-3;
            (if exact { near } else { units.floor() }) as u64
        };
        let label = |bound| format!(",le=\"{bound}\"}} ");
        let labels = |bounds: Vec<String>| bounds.into_iter().chain(["+Inf".into()]).map(label);
        let text = upper.iter().map(f64::to_string).collect();
        let openmetrics = upper.iter().copied().map(openmetrics::number).collect();
        Self {
            upper: upper.into(),
            units: upper.iter().map(unit).collect(),
            scale,
            text: labels(text).collect(),
            openmetrics: labels(openmetrics).collect(),
        }
    }

    pub(crate) const fn units(&self) -> &[u64] {
        &self.units
    }
}

// === impl Cells ===

impl Cells {
    fn new(plan: Arc<Plan>, exemplars: Option<Arc<[Slot]>>) -> Self {
        let lines = plan.layout.words.div_ceil(LINE);
        Self {
            plan,
            lines: (0..lines).map(|_| Line::default()).collect(),
            exemplars,
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
        if let Some(histogram) = &self.plan.layout.received_bytes {
            self.observe(histogram, 0, u64::from(bytes));
        }
    }

    pub(crate) fn sent(&self, bytes: u32) {
        self.add(SENT, 1);
        if let Some(histogram) = &self.plan.layout.sent_bytes {
            self.observe(histogram, 0, u64::from(bytes));
        }
    }

    pub(crate) fn handled(&self, code: Code, nanos: u64, trace_id: Option<TraceId>) {
        let layout = &self.plan.layout;
        if let Some(histogram) = &layout.handling {
            let slot = self.plan.config.code_label.slot(code.index());
            let bucket = self.observe(histogram, slot, nanos);
            if let (Some(trace_id), Some(exemplars)) = (trace_id, &self.exemplars) {
                exemplars[slot * histogram.buckets() + bucket].put(trace_id, nanos);
            }
        }
        self.word(layout.handled(code.index()))
            .fetch_add(1, Ordering::Release);
    }

    pub(crate) fn observe(&self, histogram: &Histogram, slot: usize, value: u64) -> usize {
        let sum = histogram.offset + slot * histogram.stride();
        let bucket = histogram.bucket(value);
        self.add(sum, value);
        self.add(sum + 1 + bucket, 1);
        bucket
    }
}

// === impl Series ===

impl Series {
    pub(crate) fn new(plan: &Arc<Plan>, labels: Labels) -> Self {
        let exemplars = plan.layout.handling.as_ref().and_then(|histogram| {
            let slots = histogram.slots * histogram.buckets();
            let exemplars = (0..slots).map(|_| Slot::default());
            plan.config.exemplars.then(|| exemplars.collect())
        });
        let shard = |_| Arc::new(Cells::new(Arc::clone(plan), exemplars.clone()));
        Self {
            labels,
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
        words[HANDLED_OK] = self.sum(HANDLED_OK, Ordering::Acquire);
        for (index, word) in words.iter_mut().enumerate().skip(layout.failed) {
            *word = self.sum(index, Ordering::Acquire);
        }
        for (index, word) in words.iter_mut().enumerate().take(layout.failed) {
            if index != HANDLED_OK {
                *word = self.sum(index, Ordering::Relaxed);
            }
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

    /// What the bucket shows; `slot` as in [`Reading::histogram`].
    pub(crate) fn exemplar(
        &self,
        histogram: &Histogram,
        slot: usize,
        bucket: usize,
    ) -> Option<Exemplar> {
        let exemplars = self.shards[0].exemplars.as_ref()?;
        exemplars[slot * histogram.buckets() + bucket].get()
    }
}

/// A power of two, at most [`MAX_SHARDS`].
pub(crate) fn shards() -> usize {
    let threads = thread::available_parallelism().map_or(1, usize::from);
    threads.min(MAX_SHARDS).next_power_of_two()
}

/// A number that no other thread has.
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

    /// Sum and buckets, not cumulated; `slot` is that of the code label.
    pub(crate) fn histogram(&self, histogram: &Histogram, slot: usize) -> (u64, &[u64]) {
        let sum = histogram.offset + slot * histogram.stride();
        let buckets = &self.words[sum + 1..sum + histogram.stride()];
        (self.words[sum], buckets)
    }
}
