//! Positions of the counters in the cells of a series.

use super::{bounds::Bounds, spelling::CODES};

pub(crate) const STARTED: usize = 0;
pub(crate) const RECEIVED: usize = 1;
pub(crate) const SENT: usize = 2;
pub(crate) const HANDLED_OK: usize = 3;
const HANDLING: usize = 4;

/// Positions of the counters, the same for all series of a store.
#[derive(Debug)]
pub(crate) struct Layout {
    pub(crate) handling: Option<Histograms>,
    pub(crate) received_bytes: Option<Histograms>,
    pub(crate) sent_bytes: Option<Histograms>,
    pub(crate) receive_time: Option<Histograms>,
    pub(crate) send_time: Option<Histograms>,
    /// Start of the `handled` counters of codes 1 to 16.
    pub(crate) failed: usize,
    pub(crate) cells: usize,
}

/// Consecutive histograms with the same bounds: one, or one per value of the code label.
#[derive(Debug)]
pub(crate) struct Histograms {
    offset: usize,
    count: usize,
    bounds: Bounds,
}

// === impl Layout ===

impl Layout {
    pub(crate) fn new(
        handling: Option<(Bounds, usize)>,
        bytes: Option<&Bounds>,
        times: Option<&Bounds>,
    ) -> Self {
        let mut cells = HANDLING;
        let mut allocate = |bounds: Option<(Bounds, usize)>| {
            let (bounds, count) = bounds?;
            let offset = cells;
            let histogram = Histograms {
                offset,
                count,
                bounds,
            };
            cells += histogram.stride() * count;
            Some(histogram)
        };
        let single = |bounds: Option<&Bounds>| bounds.map(|bounds| (bounds.clone(), 1));
        Self {
            handling: allocate(handling),
            received_bytes: allocate(single(bytes)),
            sent_bytes: allocate(single(bytes)),
            receive_time: allocate(single(times)),
            send_time: allocate(single(times)),
            failed: cells,
            cells: cells + CODES - 1,
        }
    }

    pub(crate) const fn handled(&self, code: usize) -> usize {
        match code {
            0 => HANDLED_OK,
            _ => self.failed + code - 1,
        }
    }
}

// === impl Histograms ===

impl Histograms {
    /// Cells per histogram: the sum and the buckets.
    pub(crate) const fn stride(&self) -> usize {
        self.buckets() + 1
    }

    /// Buckets per histogram, including `+Inf`.
    pub(crate) const fn buckets(&self) -> usize {
        self.bounds.units().len() + 1
    }

    pub(crate) fn bucket(&self, value: u64) -> usize {
        // Linear search: bounds are few, and most calls fall into the first buckets.
        let bounds = self.bounds.units();
        let above = bounds.iter().position(|bound| value <= *bound);
        above.unwrap_or(bounds.len())
    }

    /// Position of the sum of a histogram; its buckets follow.
    pub(crate) const fn sum(&self, index: usize) -> usize {
        self.offset + index * self.stride()
    }

    pub(crate) const fn count(&self) -> usize {
        self.count
    }

    pub(crate) const fn bounds(&self) -> &Bounds {
        &self.bounds
    }
}
