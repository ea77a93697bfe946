//! Recommendations in one message, up to the size that clients accept.

use prost::Message;
use tonic::Status;
use vitalmesh_proto::bookstore::v1::{ListRecommendationsResponse, Recommendation};

/// The message size that gRPC clients accept by default.
const MAX_BYTES: usize = 4 << 20;
/// Bytes of the protobuf key of a list element.
const KEY_BYTES: usize = 1;

/// A response that takes recommendations up to the size limit of a message.
#[derive(Debug, Default)]
pub(crate) struct RecommendationList {
    response: ListRecommendationsResponse,
    bytes: usize,
}

// === impl RecommendationList ===

impl RecommendationList {
    /// Adds a recommendation.
    ///
    /// # Errors
    ///
    /// RESOURCE_EXHAUSTED where the message would exceed its limit.
    pub(crate) fn push(&mut self, recommendation: Recommendation) -> Result<(), Status> {
        let length = recommendation.encoded_len();
        let bytes = KEY_BYTES + prost::length_delimiter_len(length) + length;
        self.bytes += bytes;
        if self.bytes > MAX_BYTES {
            return Err(Status::resource_exhausted(format!(
                "one message of 4 MiB holds the first {} recommendations; \
                 send a max_results up to that, or call RecommendBooks, which streams them",
                self.response.recommendations.len()
            )));
        }
        self.response.recommendations.push(recommendation);
        Ok(())
    }
}

impl From<RecommendationList> for ListRecommendationsResponse {
    fn from(list: RecommendationList) -> Self {
        list.response
    }
}

#[cfg(test)]
mod tests {
    use tonic::Code;

    use super::*;

    fn recommendation(id: i32, title_bytes: usize) -> Recommendation {
        Recommendation {
            id,
            title: "a".repeat(title_bytes),
        }
    }

    #[test]
    fn the_counted_size_is_the_encoded_size() {
        let mut list = RecommendationList::default();
        for (id, title_bytes) in [(1, 0), (2, 60), (300, 127), (10_000_000, 300)] {
            list.push(recommendation(id, title_bytes)).unwrap();
        }
        assert_eq!(list.response.encoded_len(), list.bytes);
    }

    #[test]
    fn a_list_takes_exactly_the_limit_and_rejects_one_byte_more() {
        // Key and length of the element, id, key and length of the title: 1 + 4 + 2 + 1 + 4.
        let fits = MAX_BYTES - 12;
        let mut list = RecommendationList::default();
        list.push(recommendation(1, fits)).unwrap();
        assert_eq!(list.response.encoded_len(), MAX_BYTES);

        let rejected = RecommendationList::default().push(recommendation(1, fits + 1));
        let status = rejected.unwrap_err();
        assert_eq!(status.code(), Code::ResourceExhausted);
        assert!(status.message().contains("RecommendBooks"), "{status}");
    }
}
