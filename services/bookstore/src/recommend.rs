//! Recommendations: made one at a time, as the reader takes them.

use std::pin::Pin;
use std::task::{Context, Poll};

use futures_util::Stream;
use prometheus::IntCounter;
use prost::Message;
use tonic::Status;
use vitalmesh_proto::bookstore::v1::Recommendation;

/// The most that one call is given.
pub(crate) const MOST: i32 = 10_000_000;
/// Bytes that a stream gives at a time. tonic sends what it has when the stream pauses, and would
/// else fill buffers of 32 to 64 KiB, which the allocator keeps many of: 10 MB more in all.
const BURST: usize = 7 << 10;
/// What a message of a stream takes before its own bytes.
const PREFIX: usize = 5;

/// A user's recommendations: the titles in an order of the user's own, then again from the first.
///
/// It holds the titles and a number, whatever the count; dropped, it stops.
#[derive(Debug)]
pub(crate) struct Recommendations {
    titles: Vec<String>,
    given: i32,
    count: i32,
    made: IntCounter,
    burst: usize,
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
            burst: 0,
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

impl Stream for Recommendations {
    type Item = Result<Recommendation, Status>;

    fn poll_next(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Recommendation, Status>>> {
        if self.burst >= BURST {
            self.burst = 0;
            cx.waker().wake_by_ref();
            return Poll::Pending;
        }
        let next = self.next();
        self.burst += next.as_ref().map_or(0, |next| PREFIX + next.encoded_len());
        Poll::Ready(next.map(Ok))
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

    #[tokio::test]
    async fn a_stream_pauses_after_each_burst_and_gives_them_all() {
        let mut stream = Recommendations::new(7, titles(100), 10_000, counter());
        let (mut ids, mut burst, mut pauses) = (Vec::new(), 0, 0);
        loop {
            match futures_util::poll!(futures_util::StreamExt::next(&mut stream)) {
                Poll::Ready(Some(one)) => {
                    let one = one.unwrap();
                    burst += PREFIX + one.encoded_len();
                    ids.push(one.id);
                }
                Poll::Ready(None) => break,
                Poll::Pending => {
                    assert!((BURST..BURST + 100).contains(&burst), "{burst} bytes");
                    (burst, pauses) = (0, pauses + 1);
                }
            }
        }
        assert_eq!(ids, (1..=10_000).collect::<Vec<_>>());
        assert!(pauses > 10, "{pauses}");
    }

    #[test]
    fn there_are_as_many_as_asked_for_and_none_without_titles() {
        let count = |titles, most| Recommendations::new(7, titles, most, counter()).count();
        assert_eq!(count(titles(3), 1), 1);
        assert_eq!(count(titles(3), 1_000_000), 1_000_000);
        assert_eq!(count(titles(0), 10), 0);
    }
}
