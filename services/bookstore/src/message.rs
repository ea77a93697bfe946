//! Recommendations as one message, never more of them than fit into it.

use prost::Message;
use tonic::Status;
use vitalmesh_proto::bookstore::v1::{ListRecommendationsResponse, Recommendation};

/// What clients of gRPC take by default, tonic's and the others.
const MOST_BYTES: usize = 4 << 20;
/// The key of an element in the response.
const KEY_BYTES: usize = 1;

/// A response that grows up to the limit of a message and no further.
#[derive(Debug, Default)]
pub(crate) struct OneMessage {
    response: ListRecommendationsResponse,
    bytes: usize,
}

// === impl OneMessage ===

impl OneMessage {
    /// Adds one, or says that it does not fit.
    pub(crate) fn push(&mut self, recommendation: Recommendation) -> Result<(), Status> {
        let length = recommendation.encoded_len();
        let bytes = KEY_BYTES + prost::length_delimiter_len(length) + length;
        self.bytes += bytes;
        if self.bytes > MOST_BYTES {
            return Err(Status::resource_exhausted(format!(
                "one message of 4 MiB holds the first {} recommendations; \
                 ask for no more, or call RecommendBooks, which streams them",
                self.response.recommendations.len()
            )));
        }
        self.response.recommendations.push(recommendation);
        Ok(())
    }
}

impl From<OneMessage> for ListRecommendationsResponse {
    fn from(message: OneMessage) -> Self {
        message.response
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
    fn a_message_is_as_long_as_it_was_counted() {
        let mut message = OneMessage::default();
        for (id, title_bytes) in [(1, 0), (2, 60), (300, 127), (10_000_000, 300)] {
            message.push(recommendation(id, title_bytes)).unwrap();
        }
        assert_eq!(message.response.encoded_len(), message.bytes);
    }

    #[test]
    fn what_fits_to_the_last_byte_is_taken_and_one_byte_more_is_refused_with_advice() {
        // Key and length of the element, id, key and length of the title: 1 + 4 + 2 + 1 + 4.
        let fits = MOST_BYTES - 12;
        let mut message = OneMessage::default();
        message.push(recommendation(1, fits)).unwrap();
        assert_eq!(message.response.encoded_len(), MOST_BYTES);

        let refused = OneMessage::default().push(recommendation(1, fits + 1));
        let status = refused.unwrap_err();
        assert_eq!(status.code(), Code::ResourceExhausted);
        assert!(status.message().contains("RecommendBooks"), "{status}");
    }
}
