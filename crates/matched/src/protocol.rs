//! How the client opens a stream and reads its messages' ids.

use std::future::Future;

use futures_util::Stream;
use tonic::Status;

use crate::Requests;

/// A bidirectional stream whose messages carry ids.
pub trait Protocol: Sized + Send + Sync + 'static {
    /// The request message.
    type Request: Send + 'static;
    /// The response message. It carries the id of its request.
    type Response: Send + 'static;
    /// The responses of one stream: [`tonic::Streaming`] for a generated client.
    type Responses: Stream<Item = Result<Self::Response, Status>> + Send;

    /// Opens a stream: calls the method of the generated client with `requests`.
    ///
    /// The transport may pull requests before this returns: some servers send nothing, not even
    /// headers, before the first request.
    ///
    /// # Errors
    ///
    /// The status of the failed call. It is the source of the status of the callers that wait.
    fn open(
        &self,
        requests: Requests<Self>,
    ) -> impl Future<Output = Result<Self::Responses, Status>> + Send;

    /// Writes the id into a request. It is never 0.
    fn set_id(request: &mut Self::Request, id: u64);

    /// Reads the id of the request that `response` belongs to.
    fn id(response: &Self::Response) -> u64;

    /// The result of a call, for responses that can carry a failure. Default: the response.
    ///
    /// # Errors
    ///
    /// The failure that the response carries.
    fn result(response: Self::Response) -> Result<Self::Response, Status> {
        Ok(response)
    }
}
