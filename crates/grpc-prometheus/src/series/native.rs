//! Cells that are fine enough for two histograms: classic buckets, and native ones whose bounds grow
//! exponentially.
//!
//! The bounds of the cells are those of both. So a call counts in one cell, found by one search, and
//! a scrape sums up the cells of each bucket.

/// Buckets per power of two are 2 to this power: each bound is 9 % above the last.
pub(crate) const SCHEMA: i32 = 3;

const PER_POWER: i32 = 1 << SCHEMA;

/// Slots of the index: one for each value of a number's highest four bits.
const SLOTS: usize = 64 * 8;

/// The cells of one histogram.
#[derive(Debug)]
pub(crate) struct FineCells {
    /// Inclusive upper bounds in whole units; the last cell has none.
    upper: Box<[u64]>,
    /// The classic bucket of each cell.
    classic: Box<[u16]>,
    /// The native bucket of each cell: 0 is the zero bucket.
    native: Box<[u16]>,
    /// The cell of the smallest number of each slot.
    index: Box<[u16]>,
    powers: Powers,
}

/// The range of a histogram's native buckets, as exponents of two. Smaller values are in the zero
/// bucket; greater ones are in one bucket more.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Powers {
    from: i32,
    to: i32,
}

/// Native buckets: the part of a histogram that the classic ones do not say.
#[derive(Debug, PartialEq)]
pub(crate) struct NativeBuckets {
    pub(crate) zero_threshold: f64,
    pub(crate) zero_count: u64,
    /// The number of the first bucket.
    pub(crate) first: i32,
    pub(crate) counts: Vec<u64>,
}

// === impl FineCells ===

impl FineCells {
    /// `classic` are bounds in whole units; `scale` is the number of units in one second or byte.
    pub(crate) fn new(classic: &[u64], scale: f64, powers: Powers) -> Self {
        let native: Vec<_> = powers.bounds(scale).collect();
        let mut upper: Vec<_> = classic.iter().chain(&native).copied().collect();
        upper.sort_unstable();
        upper.dedup();
        let bucket_in = |bounds: &[u64], cell: usize| {
            let bucket = upper.get(cell).map_or(bounds.len(), |upper| {
                bounds.partition_point(|bound| bound < upper)
            });
            // Cannot be cut off: bounds are few hundreds.
            bucket as u16
        };
        let cells = 0..=upper.len();
        let first_cell = |slot: usize| {
            let smallest = smallest(slot);
            upper.partition_point(|bound| *bound < smallest) as u16
        };
        Self {
            classic: cells.clone().map(|cell| bucket_in(classic, cell)).collect(),
            native: cells.map(|cell| bucket_in(&native, cell)).collect(),
            index: (0..SLOTS).map(first_cell).collect(),
            upper: upper.into(),
            powers,
        }
    }

    pub(crate) const fn count(&self) -> usize {
        self.upper.len() + 1
    }

    /// The cell of a value. From the first cell of its slot it is at most two cells further, and
    /// one more for each classic bound in between.
    #[inline]
    pub(crate) fn cell(&self, value: u64) -> usize {
        let start = usize::from(self.index[slot(value)]);
        let above = self.upper[start..].iter().position(|bound| value <= *bound);
        above.map_or(self.upper.len(), |steps| start + steps)
    }

    pub(crate) fn classic_bucket(&self, cell: usize) -> usize {
        self.classic[cell].into()
    }

    pub(crate) fn classic(&self, cells: &[u64], buckets: usize) -> Vec<u64> {
        let mut counts = vec![0; buckets];
        for (bucket, count) in self.classic.iter().zip(cells) {
            counts[usize::from(*bucket)] += count;
        }
        counts
    }

    pub(crate) fn native(&self, cells: &[u64]) -> NativeBuckets {
        let mut counts = vec![0; self.powers.buckets() + 2];
        for (bucket, count) in self.native.iter().zip(cells) {
            counts[usize::from(*bucket)] += count;
        }
        NativeBuckets {
            zero_threshold: 2_f64.powi(self.powers.from),
            zero_count: counts.remove(0),
            first: self.powers.from * PER_POWER + 1,
            counts,
        }
    }
}

/// The highest four bits of a number and their place.
#[inline]
const fn slot(value: u64) -> usize {
    let zeros = value.leading_zeros();
    if zeros == u64::BITS {
        return 0;
    }
    let place = (u64::BITS - 1 - zeros) as usize;
    let below = (value << zeros) >> 60 & 7;
    place * 8 + below as usize
}

/// The smallest number of a slot, or of the slots after it if it has none.
const fn smallest(slot: usize) -> u64 {
    let (place, below) = (slot / 8, slot % 8);
    if slot == 0 {
        return 0;
    }
    let highest = 8 + below as u64;
    match place {
        0..3 => highest.div_ceil(8 >> place),
        place => highest << (place - 3),
    }
}

// === impl Powers ===

impl Powers {
    /// From 1 µs to 36 hours.
    pub(crate) const SECONDS: Self = Self { from: -20, to: 17 };
    /// From 1 byte to 4 GiB.
    pub(crate) const BYTES: Self = Self { from: 0, to: 32 };

    const fn buckets(self) -> usize {
        ((self.to - self.from) * PER_POWER) as usize
    }

    /// The upper bounds in whole units: of the zero bucket, and of all others.
    fn bounds(self, scale: f64) -> impl Iterator<Item = u64> {
        let exponents = self.from * PER_POWER..=self.to * PER_POWER;
        let bound = move |exponent| 2_f64.powf(f64::from(exponent) / f64::from(PER_POWER)) * scale;
        exponents.map(move |exponent| bound(exponent) as u64)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::series::{Buckets, bounds::Bounds};

    fn cells(buckets: &Buckets) -> (Bounds, FineCells) {
        let bounds = Bounds::seconds(buckets.bounds());
        let cells = FineCells::new(bounds.units(), 1e9, Powers::SECONDS);
        (bounds, cells)
    }

    #[test]
    fn the_index_starts_at_or_below_every_number_of_its_slot() {
        for slot_number in 1..SLOTS {
            let smallest = smallest(slot_number);
            assert!(slot(smallest) >= slot_number, "{slot_number}");
            assert!(slot(smallest - 1) < slot_number, "{slot_number}");
        }
    }

    proptest! {
        #[test]
        fn a_value_is_in_the_classic_and_the_native_bucket_that_its_bounds_say(
            value in prop_oneof![0..2_000_u64, 0..2_000_000_000_u64, any::<u64>(), (0..64_u32).prop_map(|n| 1 << n)],
            buckets in prop::sample::select(vec![Buckets::Fine, Buckets::Go, Buckets::A66]),
        ) {
            let (bounds, cells) = cells(&buckets);
            let cell = cells.cell(value);
            let mut counts = vec![0; cells.count()];
            counts[cell] = 1;

            let classic = bounds.units().iter().position(|bound| value <= *bound);
            let classic = classic.unwrap_or_else(|| bounds.units().len());
            prop_assert_eq!(cells.classic_bucket(cell), classic);
            let found = cells.classic(&counts, bounds.units().len() + 1);
            prop_assert_eq!(found.iter().position(|count| *count == 1), Some(classic));

            let native = cells.native(&counts);
            let seconds = value as f64 / 1e9;
            match native.counts.iter().position(|count| *count == 1) {
                None => prop_assert!(native.zero_count == 1 && seconds <= native.zero_threshold),
                Some(at) => {
                    let number = native.first + at as i32;
                    let bound = |number: i32| 2_f64.powf(f64::from(number) / 8.0);
                    prop_assert!(seconds > bound(number - 1) * (1.0 - 1e-9), "{} {}", seconds, number);
                    let last = at + 1 == native.counts.len();
                    prop_assert!(last || seconds <= bound(number) * (1.0 + 1e-9), "{} {}", seconds, number);
                }
            }
        }
    }

    #[test]
    fn the_last_bucket_has_all_values_above_its_range() {
        let (_, cells) = cells(&Buckets::Fine);
        let mut counts = vec![0; cells.count()];
        counts[cells.cell(u64::MAX)] = 1;
        let native = cells.native(&counts);
        assert_eq!(native.counts.last(), Some(&1));
        assert_eq!(native.first + native.counts.len() as i32 - 1, 17 * 8 + 1);
        assert_eq!(
            (native.zero_threshold, native.first),
            (2_f64.powi(-20), -159)
        );
    }
}
