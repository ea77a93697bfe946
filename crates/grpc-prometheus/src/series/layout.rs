//! Positions of the counters in the cells of a series.

use std::borrow::Cow;

use super::{
    bounds::Bounds,
    native::{FineCells, NativeBuckets, Powers},
    spelling::{CODES, CodeLabel},
};

pub(crate) const STARTED: usize = 0;
pub(crate) const RECEIVED: usize = 1;
pub(crate) const SENT: usize = 2;
pub(crate) const HANDLED_OK: usize = 3;
const HANDLING: usize = 4;

/// Positions of the counters, the same for all series of a store.
#[derive(Debug)]
pub(crate) struct Layout {
    /// One per code or group of codes.
    pub(crate) handling: Option<Histograms>,
    /// The codes that these tell apart.
    pub(crate) code_label: CodeLabel,
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
    /// With native buckets.
    fine: Option<FineCells>,
}

// === impl Layout ===

impl Layout {
    pub(crate) fn new(
        code_label: CodeLabel,
        native: bool,
        handling: Option<Bounds>,
        bytes: Option<&Bounds>,
        times: Option<&Bounds>,
    ) -> Self {
        let mut cells = HANDLING;
        let mut allocate = |bounds: Option<(Bounds, usize)>| {
            let (bounds, count) = bounds?;
            let offset = cells;
            let powers = match bounds.scale {
                1.0 => Powers::BYTES,
                _ => Powers::SECONDS,
            };
            let fine = || FineCells::new(bounds.units(), bounds.scale, powers);
            let histogram = Histograms {
                offset,
                count,
                fine: native.then(fine),
                bounds,
            };
            cells += histogram.stride() * count;
            Some(histogram)
        };
        let single = |bounds: Option<&Bounds>| bounds.map(|bounds| (bounds.clone(), 1));
        Self {
            code_label,
            handling: allocate(handling.map(|bounds| (bounds, code_label.histograms()))),
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
    /// Positions per histogram: the sum and the cells.
    pub(crate) const fn stride(&self) -> usize {
        1 + match &self.fine {
            Some(fine) => fine.count(),
            None => self.buckets(),
        }
    }

    /// Buckets per histogram, including `+Inf`.
    pub(crate) const fn buckets(&self) -> usize {
        self.bounds.units().len() + 1
    }

    /// The cell of a value: its bucket, without native buckets.
    #[inline]
    pub(crate) fn cell(&self, value: u64) -> usize {
        if let Some(fine) = &self.fine {
            return fine.cell(value);
        }
        // Linear search: bounds are few, and most calls fall into the first buckets.
        let bounds = self.bounds.units();
        let above = bounds.iter().position(|bound| value <= *bound);
        above.unwrap_or(bounds.len())
    }

    /// The bucket of a cell.
    pub(crate) fn bucket(&self, cell: usize) -> usize {
        match &self.fine {
            Some(fine) => fine.classic_bucket(cell),
            None => cell,
        }
    }

    /// The counts of the buckets, not cumulative.
    pub(crate) fn buckets_of<'a>(&self, cells: Cow<'a, [u64]>) -> Cow<'a, [u64]> {
        match &self.fine {
            Some(fine) => Cow::Owned(fine.classic(&cells, self.buckets())),
            None => cells,
        }
    }

    pub(crate) fn native_of(&self, cells: &[u64]) -> Option<NativeBuckets> {
        self.fine.as_ref().map(|fine| fine.native(cells))
    }

    /// Position of the sum of a histogram; its cells follow.
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
