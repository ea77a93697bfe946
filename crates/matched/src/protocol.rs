//! What the client has to know of a stream's messages.

use std::future::Future;

use futures_util::Stream;
use tonic::Status;

use crate::Requests;

/// A bidirectional stream whose messages carry ids.
pub trait Protocol: Sized + Send + Sync + 'static {
    /// What is asked.
    type Request: Send + 'static;
    /// What is answered, under the id of its request.
    type Response: Send + 'static;
    /// The answers of one stream: for a generated client, [`tonic::Streaming`].
    type Responses: Stream<Item = Result<Self::Response, Status>> + Send;

    /// Opens a stream: calls the method of the generated client with these requests.
    ///
    /// Requests may be taken before this has answered; some servers answer nothing, not even
    /// headers, before the first request.
    ///
    /// # Errors
    ///
    /// The status that the call ended with.
    fn open(
        &self,
        requests: Requests<Self>,
    ) -> impl Future<Output = Result<Self::Responses, Status>> + Send;

    /// Writes the id into a request; never 0.
    fn set_id(request: &mut Self::Request, id: u64);

    /// Reads the id of the request that this answers.
    fn id(response: &Self::Response) -> u64;

    /// What a call makes of its answer, for answers that can say that a request failed: itself,
    /// unless said otherwise.
    ///
    /// # Errors
    ///
    /// The failure in the answer.
    fn result(response: Self::Response) -> Result<Self::Response, Status> {
        Ok(response)
    }
}
