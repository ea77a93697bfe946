//! The atomics of one series.
//!
//! # Memory ordering
//!
//! A call adds to `started` before anything else and to `handled` last. `handled` is written with
//! `Release` and read with `Acquire`, and read before `started`. In an owned shard (see
//! [`shard`](super::shard)) all writes to a word are those of one thread after the other, in the
//! shared one they are read-modify-writes; so a reader that sees the n-th value of a `handled`
//! word synchronises with all n calls that made it, and sees the `started` of each (a call's own
//! two adds are ordered by program order, or by whatever handed its future from thread to thread).
//! Hence started ≥ Σ handled in every scrape, also where a thread has come to own a shard since:
//! which shards there are is asked for each word anew. All other adds are `Relaxed`: each word only grows,
//! and per-word coherence keeps two scrapes that follow one another from going back.

use std::{
    fmt,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use super::{
    exemplar::{Exemplar, Slot, TraceId},
    families::Side,
    labels::Labels,
    layout::{HANDLED_OK, Histogram, Layout, RECEIVED, SENT, STARTED},
    shard::Shard,
    spelling::CODES,
    store::Plan,
};

/// Two cache lines, because x86 prefetches them in pairs.
#[derive(Debug, Default)]
#[repr(align(128))]
struct Line([AtomicU64; LINE]);

const LINE: usize = 16;

/// The numbers of one series, in shards that keep threads apart.
pub(crate) struct Series {
    pub(crate) side: Side,
    /// Whether sizes of messages are observed.
    sized: bool,
    /// Whether waits are observed: of the reader for a message, of messages for the transport.
    pub(crate) timed: bool,
    pub(crate) labels: Labels,
    pub(crate) plan: Arc<Plan>,
    /// Those of a shard follow one another.
    lines: Box<[Line]>,
    lines_per_shard: usize,
    /// One per bucket of the handling-time histograms.
    exemplars: Option<Box<[Slot]>>,
}

/// One shard of a series; not to be kept across an await.
struct Words<'a> {
    /// Those of later shards follow.
    lines: &'a [Line],
    shard: Shard,
}

/// A copy of the numbers of one series, summed over shards.
#[derive(Debug)]
pub(crate) struct Reading {
    words: Box<[u64]>,
    failed: usize,
}

// === impl Series ===

impl Series {
    pub(crate) fn new(plan: &Arc<Plan>, labels: Labels) -> Self {
        let exemplars = plan.layout.handling.as_ref().and_then(|histogram| {
            let slots = histogram.slots() * histogram.buckets();
            let exemplars = (0..slots).map(|_| Slot::default());
            plan.config.exemplars.then(|| exemplars.collect())
        });
        let lines_per_shard = plan.layout.words.div_ceil(LINE);
        let lines = lines_per_shard * Shard::count();
        Self {
            side: plan.config.side,
            sized: plan.layout.received_bytes.is_some(),
            timed: plan.layout.receive_time.is_some(),
            labels,
            plan: Arc::clone(plan),
            lines: (0..lines).map(|_| Line::default()).collect(),
            lines_per_shard,
            exemplars,
        }
    }

    fn word(&self, shard: usize, index: usize) -> &AtomicU64 {
        &self.lines[shard * self.lines_per_shard + index / LINE].0[index % LINE]
    }

    /// The words that this thread adds to.
    #[inline]
    fn words(&self) -> Words<'_> {
        let shard = Shard::current();
        Words {
            lines: &self.lines[shard.index() * self.lines_per_shard..],
            shard,
        }
    }

    #[inline]
    pub(crate) fn start(&self) {
        self.words().add(STARTED, 1, Ordering::Relaxed);
    }

    #[inline]
    pub(crate) fn received(&self, bytes: u32) {
        self.message(RECEIVED, bytes, |layout| layout.received_bytes.as_ref());
    }

    #[inline]
    pub(crate) fn sent(&self, bytes: u32) {
        self.message(SENT, bytes, |layout| layout.sent_bytes.as_ref());
    }

    #[inline]
    fn message(&self, word: usize, bytes: u32, histogram: fn(&Layout) -> Option<&Histogram>) {
        self.words().add(word, 1, Ordering::Relaxed);
        if self.sized
            && let Some(histogram) = histogram(&self.plan.layout)
        {
            self.observe(histogram, u64::from(bytes));
        }
    }

    #[inline]
    pub(crate) fn handled(&self, code: usize, nanos: u64, trace_id: TraceId) {
        let layout = &self.plan.layout;
        let words = self.words();
        if let Some(histogram) = &layout.handling {
            let slot = self.plan.config.code_label.slot(code);
            let bucket = words.observe(histogram, slot, nanos);
            if trace_id != TraceId::NONE
                && let Some(exemplars) = &self.exemplars
            {
                exemplars[slot * histogram.buckets() + bucket].put(trace_id, nanos);
            }
        }
        words.add(layout.handled(code), 1, Ordering::Release);
    }

    #[inline(never)]
    pub(crate) fn observe(&self, histogram: &Histogram, value: u64) {
        self.words().observe(histogram, 0, value);
    }

    pub(crate) fn read(&self) -> Reading {
        let layout = &self.plan.layout;
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
        let words = Shard::used().map(|shard| self.word(shard, index));
        // A sum of times starts anew after 584 years of handling, as after a restart.
        words.fold(0, |sum, word| sum.wrapping_add(word.load(ordering)))
    }

    /// What the bucket shows; `slot` as in [`Reading::histogram`].
    pub(crate) fn exemplar(
        &self,
        histogram: &Histogram,
        slot: usize,
        bucket: usize,
    ) -> Option<Exemplar> {
        let exemplars = self.exemplars.as_ref()?;
        exemplars[slot * histogram.buckets() + bucket].get()
    }
}

// === impl Words ===

impl Words<'_> {
    #[inline]
    fn add(&self, index: usize, value: u64, ordering: Ordering) {
        let word = &self.lines[index / LINE].0[index % LINE];
        self.shard.add(word, value, ordering);
    }

    /// Counts a value and says in which bucket.
    #[inline]
    fn observe(&self, histogram: &Histogram, slot: usize, value: u64) -> usize {
        let sum = histogram.sum(slot);
        let bucket = histogram.bucket(value);
        self.add(sum, value, Ordering::Relaxed);
        self.add(sum + 1 + bucket, 1, Ordering::Relaxed);
        bucket
    }
}

impl fmt::Debug for Series {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Series")
            .field("labels", &self.labels)
            .finish_non_exhaustive()
    }
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
        let sum = histogram.sum(slot);
        let buckets = &self.words[sum + 1..sum + histogram.stride()];
        (self.words[sum], buckets)
    }
}

#[cfg(test)]
mod tests {
    use std::thread;

    use super::*;
    use crate::series::{Buckets, CodeLabel, Config, LabelStyle, Store, ZeroInit};

    #[test]
    fn a_sum_over_shards_starts_anew_when_it_is_full() {
        let store = Store::new(Config {
            side: Side::Server,
            namespace: None,
            const_labels: Vec::new(),
            extra_labels: Vec::new(),
            style: LabelStyle::Go,
            code_label: CodeLabel::None,
            zero_init: ZeroInit::None,
            handling: Some(Buckets::Go),
            sizes: None,
            message_times: None,
            timeout: None,
            exemplars: false,
        });
        let series = Series::new(&store.plan, Labels::new(Vec::new()));
        let handle = |nanos| series.handled(0, nanos, TraceId::NONE);
        handle(u64::MAX);
        thread::scope(|scope| scope.spawn(|| handle(3)).join().unwrap());
        let histogram = store.plan.layout.handling.as_ref().unwrap();
        let reading = series.read();
        assert_eq!(reading.histogram(histogram, 0).0, 2);
        assert_eq!(reading.handled(0), 2);
    }
}
