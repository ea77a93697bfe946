//! The counters of one series: one atomic cell per number and shard.
//!
//! # Memory ordering
//!
//! A call increments `started` first and `handled` last. Writers store `handled` with `Release`;
//! readers load it with `Acquire`, and before `started`. In an owned shard (see
//! [`shard`](super::shard)) one thread after the other writes a cell, and in the shared shard all
//! writes are read-modify-writes. So a reader that sees the n-th value of a `handled` cell
//! synchronises with all n calls behind it and sees their increments of `started`. (A call's own
//! two increments are ordered by program order, or by the synchronisation that moved its future
//! between threads.) Hence started ≥ Σ handled in every scrape, also if a thread acquires a shard
//! meanwhile, because the reader loads the number of shards again for each cell. All other
//! increments are `Relaxed`: each cell only grows, and per-cell coherence keeps later scrapes from
//! going back.
//!
//! # In-flight calls
//!
//! A reader that is preempted between `handled` and `started` would see all calls of that time as
//! open. So it reads `handled` again after `started`. If no call has ended, the difference is exact:
//! the number of calls that were open at that moment. Else it starts again, up to [`MAX_READS`]
//! times. `started` less the later `handled` is never more than was open in between, so the largest
//! of these is the result if calls never stop ending. Only then it differs from started − Σ handled.

use std::{
    borrow::Cow,
    fmt,
    ops::Range,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::SystemTime,
};

use super::{
    exemplar::{Exemplar, LatestExemplar, TraceId},
    families::Side,
    labels::Labels,
    layout::{HANDLED_OK, Histograms, Layout, RECEIVED, SENT, STARTED},
    shard::Shard,
    spelling::{CODES, Kind},
    store::Schema,
};

/// Two cache lines, because x86 prefetches lines in pairs.
#[derive(Debug, Default)]
#[repr(align(128))]
struct CacheBlock([AtomicU64; BLOCK_CELLS]);

const BLOCK_CELLS: usize = 16;

/// Attempts of a reader at a moment in which no call ended.
const MAX_READS: usize = 64;

/// One series: a label set with its counters.
pub(crate) struct Series {
    pub(crate) side: Side,
    /// Whether message sizes are recorded.
    sized: bool,
    /// Whether message waits are recorded.
    pub(crate) timed: bool,
    /// Whether an OK takes exactly one response message.
    pub(crate) single_response: bool,
    pub(crate) labels: Labels,
    pub(crate) schema: Arc<Schema>,
    /// When its counters were zero.
    pub(crate) created: SystemTime,
    /// Shard after shard.
    blocks: Box<[CacheBlock]>,
    blocks_per_shard: usize,
    /// One per bucket of the handling-time histograms, if exemplars are on.
    exemplars: Option<Box<[LatestExemplar]>>,
}

/// The shard of the current thread. Must not be held across an await.
struct ShardCells<'a> {
    /// Starts at the shard; later shards follow.
    blocks: &'a [CacheBlock],
    shard: Shard,
}

/// The values of one series at one time, summed over its shards.
#[derive(Debug)]
pub(crate) struct Reading {
    values: Box<[u64]>,
    failed: usize,
    in_flight: u64,
}

// === impl Series ===

impl Series {
    pub(crate) fn new(schema: &Arc<Schema>, kind: Kind, labels: Labels) -> Self {
        let exemplars = schema.layout.handling.as_ref().and_then(|histogram| {
            let buckets = histogram.count() * histogram.buckets();
            let exemplars = (0..buckets).map(|_| LatestExemplar::default());
            schema.config.exemplars.then(|| exemplars.collect())
        });
        let blocks_per_shard = schema.layout.cells.div_ceil(BLOCK_CELLS);
        let blocks = blocks_per_shard * Shard::count();
        Self {
            side: schema.config.side,
            sized: schema.layout.received_bytes.is_some(),
            timed: schema.layout.receive_time.is_some(),
            single_response: matches!(kind, Kind::Unary | Kind::ClientStream),
            labels,
            schema: Arc::clone(schema),
            created: SystemTime::now(),
            blocks: (0..blocks).map(|_| CacheBlock::default()).collect(),
            blocks_per_shard,
            exemplars,
        }
    }

    fn cell(&self, shard: usize, index: usize) -> &AtomicU64 {
        &self.blocks[shard * self.blocks_per_shard + index / BLOCK_CELLS].0[index % BLOCK_CELLS]
    }

    /// The cells that this thread writes.
    #[inline]
    fn cells(&self) -> ShardCells<'_> {
        let shard = Shard::current();
        ShardCells {
            blocks: &self.blocks[shard.index() * self.blocks_per_shard..],
            shard,
        }
    }

    #[inline]
    pub(crate) fn start(&self) {
        self.cells().add(STARTED, 1, Ordering::Relaxed);
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
    fn message(&self, cell: usize, bytes: u32, histogram: fn(&Layout) -> Option<&Histograms>) {
        self.cells().add(cell, 1, Ordering::Relaxed);
        if self.sized
            && let Some(histogram) = histogram(&self.schema.layout)
        {
            self.observe(histogram, u64::from(bytes));
        }
    }

    #[inline]
    pub(crate) fn handle(&self, code: usize, nanos: u64, trace_id: TraceId) {
        let layout = &self.schema.layout;
        let cells = self.cells();
        if let Some(histogram) = &layout.handling {
            let index = layout.code_label.histogram_index(code);
            let cell = cells.observe(histogram, index, nanos);
            if trace_id != TraceId::NONE
                && let Some(exemplars) = &self.exemplars
            {
                let bucket = histogram.bucket(cell);
                exemplars[index * histogram.buckets() + bucket].put(trace_id, nanos);
            }
        }
        cells.add(layout.handled(code), 1, Ordering::Release);
    }

    #[inline(never)]
    pub(crate) fn observe(&self, histogram: &Histograms, value: u64) {
        self.cells().observe(histogram, 0, value);
    }

    pub(crate) fn read(&self) -> Reading {
        self.read_with(|| ())
    }

    /// `pause` runs between the reading of `handled` and of `started`.
    fn read_with(&self, mut pause: impl FnMut()) -> Reading {
        let layout = &self.schema.layout;
        let mut values = vec![0; layout.cells].into_boxed_slice();
        let mut in_flight = 0;
        for _ in 0..MAX_READS {
            let handled = self.read_handled(&mut values);
            pause();
            values[STARTED] = self.sum(STARTED, Ordering::Acquire);
            let handled_since = self.handled();
            let open = values[STARTED].saturating_sub(handled_since);
            if handled_since == handled {
                in_flight = open;
                break;
            }
            in_flight = in_flight.max(open);
        }
        for (index, value) in values.iter_mut().enumerate().take(layout.failed) {
            if ![STARTED, HANDLED_OK].contains(&index) {
                *value = self.sum(index, Ordering::Relaxed);
            }
        }
        Reading {
            values,
            failed: layout.failed,
            in_flight,
        }
    }

    /// Reads the counters of all codes and returns their sum.
    fn read_handled(&self, values: &mut [u64]) -> u64 {
        let mut total = 0;
        for code in 0..CODES {
            let index = self.schema.layout.handled(code);
            values[index] = self.sum(index, Ordering::Acquire);
            total += values[index];
        }
        total
    }

    fn handled(&self) -> u64 {
        let index = |code| self.schema.layout.handled(code);
        let counts = (0..CODES).map(|code| self.sum(index(code), Ordering::Acquire));
        counts.sum()
    }

    fn sum(&self, index: usize, ordering: Ordering) -> u64 {
        let cells = Shard::used().map(|shard| self.cell(shard, index));
        // Wraps after 584 years of handling time, like a restart.
        cells.fold(0, |sum, cell| sum.wrapping_add(cell.load(ordering)))
    }

    /// The exemplar of a bucket. `index` as in [`Reading::histogram`].
    pub(crate) fn exemplar(
        &self,
        histogram: &Histograms,
        index: usize,
        bucket: usize,
    ) -> Option<Exemplar> {
        let exemplars = self.exemplars.as_ref()?;
        exemplars[index * histogram.buckets() + bucket].get()
    }
}

// === impl ShardCells ===

impl ShardCells<'_> {
    #[inline]
    fn add(&self, index: usize, value: u64, ordering: Ordering) {
        let cell = &self.blocks[index / BLOCK_CELLS].0[index % BLOCK_CELLS];
        self.shard.add(cell, value, ordering);
    }

    /// Counts a value and returns the index of its cell.
    #[inline]
    fn observe(&self, histogram: &Histograms, index: usize, value: u64) -> usize {
        let sum = histogram.sum(index);
        let cell = histogram.cell(value);
        self.add(sum, value, Ordering::Relaxed);
        self.add(sum + 1 + cell, 1, Ordering::Relaxed);
        cell
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
        self.values[STARTED]
    }

    pub(crate) const fn received(&self) -> u64 {
        self.values[RECEIVED]
    }

    pub(crate) const fn sent(&self) -> u64 {
        self.values[SENT]
    }

    pub(crate) const fn handled(&self, code: usize) -> u64 {
        match code {
            0 => self.values[HANDLED_OK],
            _ => self.values[self.failed + code - 1],
        }
    }

    /// Calls that were open at one moment of the reading.
    pub(crate) const fn in_flight(&self) -> u64 {
        self.in_flight
    }

    /// Sum and cells of these histograms together. The indices are those of their codes.
    pub(crate) fn histogram(
        &self,
        histogram: &Histograms,
        indices: Range<usize>,
    ) -> (u64, Cow<'_, [u64]>) {
        let mut total: (u64, Cow<'_, [u64]>) = (0, Cow::Borrowed(&[]));
        for index in indices {
            let sum = histogram.sum(index);
            let cells = &self.values[sum + 1..sum + histogram.stride()];
            total.0 = total.0.wrapping_add(self.values[sum]);
            match total.1.is_empty() {
                true => total.1 = Cow::Borrowed(cells),
                false => {
                    for (total, cell) in total.1.to_mut().iter_mut().zip(cells) {
                        *total += cell;
                    }
                }
            }
        }
        total
    }
}

#[cfg(test)]
mod tests {
    use std::thread;

    use super::*;
    use crate::series::{Buckets, CodeLabel, Config, LabelStyle, RpcConventions, Store, ZeroInit};

    fn series() -> Series {
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
            native: false,
            start_timestamps: false,
            conventions: RpcConventions::Grpc,
        });
        Series::new(&store.schema, Kind::Unary, Labels::new(Vec::new()))
    }

    fn call(series: &Series) {
        series.start();
        series.handle(0, 1, TraceId::NONE);
    }

    #[test]
    fn a_sum_over_shards_wraps() {
        let series = series();
        let handle = |nanos| series.handle(0, nanos, TraceId::NONE);
        handle(u64::MAX);
        thread::scope(|scope| scope.spawn(|| handle(3)).join().unwrap());
        let histogram = series.schema.layout.handling.as_ref().unwrap();
        let reading = series.read();
        assert_eq!(reading.histogram(histogram, 0..1).0, 2);
        assert_eq!(reading.handled(0), 2);
    }

    #[test]
    fn calls_that_end_while_the_reader_is_preempted_are_not_in_flight() {
        let series = series();
        series.start();
        let mut preempted = 0;
        let reading = series.read_with(|| {
            if preempted < MAX_READS - 1 {
                preempted += 1;
                (0..1_000).for_each(|_| call(&series));
            }
        });
        assert_eq!(preempted, MAX_READS - 1);
        assert_eq!(reading.in_flight(), 1);
        let calls = (MAX_READS as u64 - 1) * 1_000;
        assert_eq!((reading.started(), reading.handled(0)), (calls + 1, calls));
    }

    #[test]
    fn calls_that_end_between_two_attempts_are_not_in_flight() {
        let series = series();
        (0..3).for_each(|_| series.start());
        let mut attempt = 0;
        let reading = series.read_with(|| {
            attempt += 1;
            match attempt {
                1 => call(&series),
                2 => (0..2).for_each(|_| series.handle(0, 1, TraceId::NONE)),
                _ => {}
            }
        });
        assert_eq!(attempt, 3);
        assert_eq!(reading.in_flight(), 1);
        assert_eq!((reading.started(), reading.handled(0)), (4, 3));
    }

    #[test]
    fn a_reader_that_never_finds_a_quiet_moment_reports_no_more_than_was_open() {
        let series = series();
        (0..3).for_each(|_| series.start());
        let mut attempts = 0;
        let reading = series.read_with(|| {
            attempts += 1;
            (0..1_000).for_each(|_| call(&series));
        });
        assert_eq!(attempts, MAX_READS);
        assert_eq!(reading.in_flight(), 3);
        assert!(reading.started() >= reading.handled(0) + 3);
    }
}
