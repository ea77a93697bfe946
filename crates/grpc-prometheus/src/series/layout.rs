//! Where in the cells of a series each number lives.

use super::{bounds::Bounds, spelling::CODES};

pub(crate) const STARTED: usize = 0;
pub(crate) const RECEIVED: usize = 1;
pub(crate) const SENT: usize = 2;
pub(crate) const HANDLED_OK: usize = 3;
const HANDLING: usize = 4;

/// Positions of the numbers in [`Cells`]; the same for all series of a registration.
#[derive(Debug)]
pub(crate) struct Layout {
    pub(crate) handling: Option<Histogram>,
    pub(crate) received_bytes: Option<Histogram>,
    pub(crate) sent_bytes: Option<Histogram>,
    pub(crate) receive_time: Option<Histogram>,
    pub(crate) send_time: Option<Histogram>,
    /// Of the codes from 1 on.
    pub(crate) failed: usize,
    pub(crate) words: usize,
}

/// Some histograms with the same bounds, one after the other.
#[derive(Debug)]
pub(crate) struct Histogram {
    offset: usize,
    slots: usize,
    bounds: Bounds,
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

    pub(crate) const fn handled(&self, code: usize) -> usize {
        match code {
            0 => HANDLED_OK,
            _ => self.failed + code - 1,
        }
    }
}

// === impl Histogram ===

impl Histogram {
    /// The sum, one word per bound, one for `+Inf`.
    pub(crate) const fn stride(&self) -> usize {
        self.buckets() + 1
    }

    /// With the one for `+Inf`.
    pub(crate) const fn buckets(&self) -> usize {
        self.bounds.units().len() + 1
    }

    pub(crate) fn bucket(&self, value: u64) -> usize {
        // Bounds are few, and most calls are fast: they are in one of the first buckets.
        let bounds = self.bounds.units();
        let above = bounds.iter().position(|bound| value <= *bound);
        above.unwrap_or(bounds.len())
    }

    /// Where the sum of a slot is; its buckets follow.
    pub(crate) const fn sum(&self, slot: usize) -> usize {
        self.offset + slot * self.stride()
    }

    pub(crate) const fn slots(&self) -> usize {
        self.slots
    }

    pub(crate) const fn bounds(&self) -> &Bounds {
        &self.bounds
    }
}
