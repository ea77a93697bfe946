//! The median of ratios, with its confidence interval.

use std::fmt;

/// Ratios of independent pairs of measurements.
#[derive(Clone, Debug, Default)]
pub struct Ratios(Vec<f64>);

/// Displayed as `median 0.9931 (95 % interval 0.9900 to 0.9954)`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Median {
    pub median: f64,
    /// The bounds of the interval: the median lies between them with a probability of 95 %, for any
    /// distribution.
    pub interval: Option<(f64, f64)>,
}

// === impl Ratios ===

impl Ratios {
    pub fn push(&mut self, ratio: f64) {
        self.0.push(ratio);
    }

    /// `None` if there are no ratios.
    pub fn median(&self) -> Option<Median> {
        let mut sorted = self.0.clone();
        sorted.sort_by(f64::total_cmp);
        let middle = sorted.len() / 2;
        let upper = sorted.get(middle)?;
        let lower = sorted.get((sorted.len() - 1) / 2)?;
        let interval = outside(sorted.len()).checked_sub(1);
        Some(Median {
            median: f64::midpoint(*lower, *upper),
            interval: interval.map(|rank| (sorted[rank], sorted[sorted.len() - 1 - rank])),
        })
    }
}

/// The number of ordered ratios to drop at each end: the largest k for which a fair coin, thrown
/// once per ratio, shows fewer than k heads with a probability of at most 2.5 %.
fn outside(ratios: usize) -> usize {
    let ratios = ratios as f64;
    let mut heads = 0.0;
    // In logarithms, since 2^-1100 underflows.
    let mut likely = -ratios * 2_f64.ln();
    let mut sum = likely.exp();
    while sum <= 0.025 && heads < ratios {
        likely += ((ratios - heads) / (heads + 1.0)).ln();
        heads += 1.0;
        sum += likely.exp();
    }
    // Cannot truncate: an integer of at most `ratios`.
    heads as usize
}

// === impl Median ===

impl fmt::Display for Median {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "median {:.4}", self.median)?;
        match self.interval {
            Some((low, high)) => write!(f, " (95 % interval {low:.4} to {high:.4})"),
            None => f.write_str(" (too few for an interval)"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn median(count: u32) -> Option<Median> {
        // Unsorted.
        let ratios = (1..=count).map(|rank| f64::from(rank * 7919 % (count + 1)));
        Ratios(ratios.collect()).median()
    }

    // From tables of the sign test.
    #[test]
    fn the_interval_is_between_the_ranks_of_the_tables() {
        for (count, expected, ranks) in [
            (5, 3.0, None),
            (6, 3.5, Some((1.0, 6.0))),
            (10, 5.5, Some((2.0, 9.0))),
            (20, 10.5, Some((6.0, 15.0))),
            (50, 25.5, Some((18.0, 33.0))),
            (100, 50.5, Some((40.0, 61.0))),
            (2_000, 1_000.5, Some((956.0, 1_045.0))),
        ] {
            let median = median(count).unwrap();
            assert_eq!(
                (median.median, median.interval),
                (expected, ranks),
                "{count}"
            );
        }
        assert_eq!(median(0), None);
    }
}
