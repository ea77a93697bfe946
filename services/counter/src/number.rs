//! The arithmetic: the next int32, and sums of int32s.

const LAST: i32 = i32::MAX;

/// A result that does not fit its type.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum OutOfRange {
    #[error("no int32 comes after {LAST}; send at most {}", LAST - 1)]
    Next,
    #[error("the total of {0} numbers is no int64; sum fewer in one call")]
    Total(u64),
}

/// A sum and how many numbers it has.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Tally {
    pub(crate) total: i64,
    pub(crate) count: u64,
}

/// The number after `num`.
///
/// # Errors
///
/// [`OutOfRange::Next`] after the last int32.
pub const fn increase(num: i32) -> Result<i32, OutOfRange> {
    match num.checked_add(1) {
        Some(next) => Ok(next),
        None => Err(OutOfRange::Next),
    }
}

// === impl Tally ===

impl Tally {
    /// Adds a number. The sum of 2^32 numbers always fits: 2^32 × -2^31 is the least int64.
    pub(crate) fn plus(self, num: i32) -> Result<Self, OutOfRange> {
        let count = self.count.saturating_add(1);
        match self.total.checked_add(num.into()) {
            Some(total) => Ok(Self { total, count }),
            None => Err(OutOfRange::Total(count)),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn the_last_int32_has_no_next() {
        assert_eq!(increase(i32::MAX - 1), Ok(i32::MAX));
        assert_eq!(increase(i32::MIN), Ok(i32::MIN + 1));
        assert_eq!(
            increase(i32::MAX).unwrap_err().to_string(),
            "no int32 comes after 2147483647; send at most 2147483646"
        );
    }

    #[test]
    fn a_total_reaches_both_limits_of_int64_and_fails_beyond() {
        for (end, step) in [(i64::MAX, 1), (i64::MIN, -1)] {
            let before = Tally {
                total: end - i64::from(step),
                count: 7,
            };
            let at_end = before.plus(step).unwrap();
            assert_eq!((at_end.total, at_end.count), (end, 8));
            assert_eq!(at_end.plus(step), Err(OutOfRange::Total(9)));
            assert_eq!(at_end.plus(0).unwrap().total, end);
        }
    }

    #[test]
    fn the_sum_of_2_to_the_32_numbers_always_fits() {
        let largest = Tally {
            total: ((1 << 32) - 1) * i64::from(i32::MIN),
            count: (1 << 32) - 1,
        };
        assert_eq!(largest.plus(i32::MIN).unwrap().total, i64::MIN);
    }

    proptest! {
        #[test]
        fn every_number_but_the_last_is_increased_by_one(num in i32::MIN..i32::MAX) {
            prop_assert_eq!(increase(num).map(i64::from), Ok(i64::from(num) + 1));
        }
    }
}
