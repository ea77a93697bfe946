//! Recommendations, produced one at a time as the reader takes them.

use std::pin::Pin;
use std::task::{Context, Poll};

use futures_util::Stream;
use prometheus::IntCounter;
use prost::Message;
use tonic::Status;
use vitalmesh_proto::bookstore::v1::Recommendation;

/// The limit of recommendations per call.
pub(crate) const MAX_RECOMMENDATIONS: i32 = 10_000_000;
/// Bytes of messages after which a stream yields once. tonic flushes when a stream is pending; when
/// it is not, it fills buffers of 32 to 64 KiB, and those that the allocator keeps cost 10 MB.
const BURST_BYTES: usize = 7 << 10;
/// Bytes of the gRPC prefix of a message.
const PREFIX_BYTES: usize = 5;

/// A user's recommendations: the titles in an order that depends on the user, repeated.
///
/// Memory does not grow with the count: it holds the titles and a position.
#[derive(Debug)]
pub(crate) struct Recommendations {
    titles: Vec<String>,
    /// The id of the last one; ids count from 1.
    last_id: i32,
    count: i32,
    counter: IntCounter,
    /// Bytes produced since the stream yielded.
    burst_bytes: usize,
}

// === impl Recommendations ===

impl Recommendations {
    /// The first `count` recommendations of a user; the same for the same user and titles, and none
    /// without titles. `counter` counts each when it is produced.
    pub(crate) fn new(
        user_id: i32,
        mut titles: Vec<String>,
        count: i32,
        counter: IntCounter,
    ) -> Self {
        fastrand::Rng::with_seed(u64::from(user_id.cast_unsigned())).shuffle(&mut titles);
        Self {
            titles,
            last_id: 0,
            count,
            counter,
            burst_bytes: 0,
        }
    }
}

impl Iterator for Recommendations {
    type Item = Recommendation;

    fn next(&mut self) -> Option<Recommendation> {
        if self.last_id >= self.count || self.titles.is_empty() {
            return None;
        }
        let title = &self.titles[self.last_id.cast_unsigned() as usize % self.titles.len()];
        self.last_id += 1;
        self.counter.inc();
        Some(Recommendation {
            id: self.last_id,
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
        if self.burst_bytes >= BURST_BYTES {
            self.burst_bytes = 0;
            cx.waker().wake_by_ref();
            return Poll::Pending;
        }
        let next = self.next();
        self.burst_bytes += next
            .as_ref()
            .map_or(0, |next| PREFIX_BYTES + next.encoded_len());
        Poll::Ready(next.map(Ok))
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    fn counter() -> IntCounter {
        IntCounter::new("recommendations", "recommendations").unwrap()
    }

    fn titles(count: usize) -> Vec<String> {
        (0..count).map(|number| format!("title {number}")).collect()
    }

    fn recommended(user_id: i32, count: i32) -> Vec<String> {
        let recommendations = Recommendations::new(user_id, titles(100), count, counter());
        recommendations.map(|one| one.title).collect()
    }

    #[test]
    fn the_order_is_the_same_for_a_user_and_differs_between_users() {
        assert_eq!(recommended(7, 250), recommended(7, 250));
        assert_ne!(recommended(7, 100), recommended(8, 100));
        assert_ne!(recommended(-1, 100), recommended(1, 100));
    }

    #[test]
    fn every_title_comes_once_before_one_is_repeated() {
        let recommended = recommended(7, 250);
        let first: BTreeSet<_> = recommended[..100].iter().collect();
        assert_eq!(first.len(), 100);
        assert_eq!(recommended[..100], recommended[100..200]);
    }

    #[test]
    fn ids_count_from_one_and_only_what_is_taken_is_counted() {
        let counter = counter();
        let mut all = Recommendations::new(7, titles(3), MAX_RECOMMENDATIONS, counter.clone());
        let ids: Vec<_> = all.by_ref().take(5).map(|one| one.id).collect();
        assert_eq!(ids, [1, 2, 3, 4, 5]);
        assert_eq!(counter.get(), 5);
    }

    #[tokio::test]
    async fn a_stream_yields_after_each_burst_and_produces_all() {
        let mut stream = Recommendations::new(7, titles(100), 10_000, counter());
        let (mut ids, mut burst, mut yields) = (Vec::new(), 0, 0);
        loop {
            match futures_util::poll!(futures_util::StreamExt::next(&mut stream)) {
                Poll::Ready(Some(one)) => {
                    let one = one.unwrap();
                    burst += PREFIX_BYTES + one.encoded_len();
                    ids.push(one.id);
                }
                Poll::Ready(None) => break,
                Poll::Pending => {
                    assert!(
                        (BURST_BYTES..BURST_BYTES + 100).contains(&burst),
                        "{burst} bytes"
                    );
                    (burst, yields) = (0, yields + 1);
                }
            }
        }
        assert_eq!(ids, (1..=10_000).collect::<Vec<_>>());
        assert!(yields > 10, "{yields}");
    }

    #[test]
    fn the_count_is_the_requested_one_and_zero_without_titles() {
        let count = |titles, count| Recommendations::new(7, titles, count, counter()).count();
        assert_eq!(count(titles(3), 1), 1);
        assert_eq!(count(titles(3), 1_000_000), 1_000_000);
        assert_eq!(count(titles(0), 10), 0);
    }
}
