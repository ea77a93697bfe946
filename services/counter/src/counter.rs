//! The handlers, one for each of gRPC's four kinds of call.

use std::iter::{Map, Rev};
use std::ops::RangeInclusive;

use futures_util::StreamExt;
use futures_util::stream::{self, Iter};
use tonic::{Code, Request, Response, Status, Streaming};
use vitalmesh_proto::counter::v1::counter_service_server::CounterService;
use vitalmesh_proto::counter::v1::{
    CountdownRequest, CountdownResponse, Failure, IncreaseRequest, IncreaseResponse,
    IncreaseStreamRequest, IncreaseStreamResponse, SumRequest, SumResponse,
};

use crate::number::{OutOfRange, Tally, increase};

/// Responds with the next number. It holds no state between calls.
#[derive(Clone, Copy, Debug, Default)]
pub struct Counter;

/// Produces each response when it can be sent: nothing is buffered for a slow reader, and nothing
/// runs on when the call is dropped.
type Lazy<I, T> = Map<I, fn(i32) -> Result<T, Status>>;

// === impl Counter ===

impl Counter {
    pub const fn new() -> Self {
        Self
    }
}

#[tonic::async_trait]
impl CounterService for Counter {
    type IncreaseStreamStream = stream::Map<
        Streaming<IncreaseStreamRequest>,
        fn(Result<IncreaseStreamRequest, Status>) -> Result<IncreaseStreamResponse, Status>,
    >;
    type CountdownStream = Iter<Lazy<Rev<RangeInclusive<i32>>, CountdownResponse>>;

    async fn increase(
        &self,
        request: Request<IncreaseRequest>,
    ) -> Result<Response<IncreaseResponse>, Status> {
        let num = increase(request.into_inner().num)?;
        Ok(Response::new(IncreaseResponse { num }))
    }

    async fn increase_stream(
        &self,
        requests: Request<Streaming<IncreaseStreamRequest>>,
    ) -> Result<Response<Self::IncreaseStreamStream>, Status> {
        // A request is read when its response can be sent. The first error ends the stream.
        Ok(Response::new(requests.into_inner().map(respond)))
    }

    async fn sum(
        &self,
        requests: Request<Streaming<SumRequest>>,
    ) -> Result<Response<SumResponse>, Status> {
        let mut requests = requests.into_inner();
        let mut tally = Tally::default();
        while let Some(SumRequest { num }) = requests.message().await? {
            tally = tally.plus(num)?;
        }
        let Tally { total, count } = tally;
        Ok(Response::new(SumResponse { total, count }))
    }

    async fn countdown(
        &self,
        request: Request<CountdownRequest>,
    ) -> Result<Response<Self::CountdownStream>, Status> {
        let from = request.into_inner().from;
        if from < 0 {
            let message = format!("from is {from}; send 0 to {}", i32::MAX);
            return Err(Status::invalid_argument(message));
        }
        let numbers: Lazy<_, _> = (0..=from).rev().map(|num| Ok(CountdownResponse { num }));
        Ok(Response::new(stream::iter(numbers)))
    }
}

// === impl OutOfRange ===

impl From<OutOfRange> for Status {
    fn from(error: OutOfRange) -> Self {
        Self::out_of_range(error.to_string())
    }
}

/// A request with an id gets a response with that id also where it fails, since other callers share
/// the stream. Without an id, a failure ends the stream.
fn respond(
    request: Result<IncreaseStreamRequest, Status>,
) -> Result<IncreaseStreamResponse, Status> {
    let IncreaseStreamRequest { num, request_id } = request?;
    let (num, failure) = match increase(num) {
        Ok(num) => (num, None),
        Err(error) if request_id == 0 => return Err(error.into()),
        Err(error) => (0, Some(failure(error))),
    };
    Ok(IncreaseStreamResponse {
        num,
        request_id,
        failure,
    })
}

fn failure(error: OutOfRange) -> Failure {
    Failure {
        code: Code::OutOfRange.into(),
        message: error.to_string(),
    }
}
