//! Recommendations: made one at a time, as the reader takes them.

use prometheus::IntCounter;
use vitalmesh_proto::bookstore::v1::Recommendation;

/// The most that one call is given.
pub(crate) const MOST: i32 = 10_000_000;

/// A user's recommendations: the titles in an order of the user's own, then again from the first.
///
/// It holds the titles and a number, whatever the count; dropped, it stops.
#[derive(Debug)]
pub(crate) struct Recommendations {
    titles: Vec<String>,
    given: i32,
    count: i32,
    made: IntCounter,
}

// === impl Recommendations ===

impl Recommendations {
    /// The first `count` for a user: the same ones for the same user and titles. None where there
    /// is no title. Each is counted into `made` when it is made.
    pub(crate) fn new(user_id: i32, mut titles: Vec<String>, count: i32, made: IntCounter) -> Self {
        fastrand::Rng::with_seed(u64::from(user_id.cast_unsigned())).shuffle(&mut titles);
        Self {
            titles,
            given: 0,
            count,
            made,
        }
    }
}

impl Iterator for Recommendations {
    type Item = Recommendation;

    fn next(&mut self) -> Option<Recommendation> {
        if self.given >= self.count || self.titles.is_empty() {
            return None;
        }
        let title = &self.titles[self.given.cast_unsigned() as usize % self.titles.len()];
        self.given += 1;
        self.made.inc();
        Some(Recommendation {
            id: self.given,
            title: title.clone(),
        })
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    fn counter() -> IntCounter {
        IntCounter::new("made", "made").unwrap()
    }

    fn titles(count: usize) -> Vec<String> {
        (0..count).map(|number| format!("title {number}")).collect()
    }

    fn recommended(user_id: i32, count: i32) -> Vec<String> {
        let made = Recommendations::new(user_id, titles(100), count, counter());
        made.map(|one| one.title).collect()
    }

    #[test]
    fn the_same_user_is_recommended_the_same_and_another_user_something_else() {
        assert_eq!(recommended(7, 250), recommended(7, 250));
        assert_ne!(recommended(7, 100), recommended(8, 100));
        assert_ne!(recommended(-1, 100), recommended(1, 100));
    }

    #[test]
    fn every_title_comes_once_before_any_comes_again() {
        let recommended = recommended(7, 250);
        let first: BTreeSet<_> = recommended[..100].iter().collect();
        assert_eq!(first.len(), 100);
        assert_eq!(recommended[..100], recommended[100..200]);
    }

    #[test]
    fn ids_count_from_one_and_what_is_not_taken_is_not_made() {
        let made = counter();
        let mut all = Recommendations::new(7, titles(3), MOST, made.clone());
        let ids: Vec<_> = all.by_ref().take(5).map(|one| one.id).collect();
        assert_eq!(ids, [1, 2, 3, 4, 5]);
        assert_eq!(made.get(), 5);
    }

    #[test]
    fn there_are_as_many_as_asked_for_and_none_without_titles() {
        let count = |titles, most| Recommendations::new(7, titles, most, counter()).count();
        assert_eq!(count(titles(3), 1), 1);
        assert_eq!(count(titles(3), 1_000_000), 1_000_000);
        assert_eq!(count(titles(0), 10), 0);
    }
}
