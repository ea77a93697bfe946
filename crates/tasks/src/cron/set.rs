//! A set of small numbers.

use std::fmt;

/// Numbers from 0 to 63.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Set(u64);

// === impl Set ===

impl Set {
    pub(super) const fn insert(&mut self, number: u32) {
        self.0 |= 1 << number;
    }

    pub(super) const fn has(self, number: u32) -> bool {
        number < u64::BITS && self.0 & (1 << number) != 0
    }

    /// The least number that is not below `number`.
    pub(super) fn from(self, number: u32) -> Option<u32> {
        (number..u64::BITS).find(|it| self.has(*it))
    }

    /// The greatest number that is not above `number`.
    pub(super) fn until(self, number: u32) -> Option<u32> {
        (0..=number).rev().find(|it| self.has(*it))
    }

    pub(super) fn iter(self) -> impl Iterator<Item = u32> {
        (0..u64::BITS).filter(move |number| self.has(*number))
    }
}

impl FromIterator<u32> for Set {
    fn from_iter<I: IntoIterator<Item = u32>>(numbers: I) -> Self {
        let mut set = Self::default();
        numbers.into_iter().for_each(|number| set.insert(number));
        set
    }
}

/// As a cron field: numbers separated by commas.
impl fmt::Display for Set {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let numbers: Vec<_> = self.iter().map(|number| number.to_string()).collect();
        f.write_str(&numbers.join(","))
    }
}
