//! `IncreaseStream` as a protocol of `vitalmesh-matched`, for clients with many callers.

use tonic::{Status, Streaming};
use vitalmesh_chassis::AnyChannel;
use vitalmesh_matched::{Protocol, Requests};
use vitalmesh_proto::counter::v1::counter_service_client::CounterServiceClient;
use vitalmesh_proto::counter::v1::{IncreaseStreamRequest, IncreaseStreamResponse};

/// `IncreaseStream` over this client.
#[derive(Debug)]
pub struct Increase<C>(pub CounterServiceClient<C>);

// === impl Increase ===

impl<C: AnyChannel> Protocol for Increase<C> {
    type Request = IncreaseStreamRequest;
    type Response = IncreaseStreamResponse;
    type Responses = Streaming<IncreaseStreamResponse>;

    async fn open(&self, requests: Requests<Self>) -> Result<Self::Responses, Status> {
        Ok(self.0.clone().increase_stream(requests).await?.into_inner())
    }

    fn set_id(request: &mut IncreaseStreamRequest, id: u64) {
        request.request_id = id;
    }

    fn id(response: &IncreaseStreamResponse) -> u64 {
        response.request_id
    }

    fn result(response: IncreaseStreamResponse) -> Result<IncreaseStreamResponse, Status> {
        match response.failure {
            Some(failure) => Err(Status::new(failure.code.into(), failure.message)),
            None => Ok(response),
        }
    }
}
