//! Every RPC through the generated client, with valid and invalid requests.
#![expect(clippy::unwrap_used, reason = "tests fail by panicking")]

use std::iter;

use tokio::sync::mpsc;
use tokio_stream::StreamExt;
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Code, Status, Streaming};
use vitalmesh_counter::Counter;
use vitalmesh_proto::counter::v1::counter_service_client::CounterServiceClient;
use vitalmesh_proto::counter::v1::counter_service_server::CounterServiceServer;
use vitalmesh_proto::counter::v1::{
    CountdownRequest, CountdownResponse, Failure, IncreaseRequest, IncreaseStreamRequest,
    IncreaseStreamResponse, SumRequest, SumResponse,
};

const NO_NEXT: &str = "no int32 comes after 2147483647; send at most 2147483646";

type Client = CounterServiceClient<CounterServiceServer<Counter>>;

fn client() -> Client {
    CounterServiceClient::new(CounterServiceServer::new(Counter::new()))
}

fn code_and_message(status: &Status) -> (Code, &str) {
    (status.code(), status.message())
}

async fn increase(num: i32) -> Result<i32, Status> {
    let response = client().increase(IncreaseRequest { num }).await?;
    Ok(response.into_inner().num)
}

fn request(num: i32, request_id: u64) -> IncreaseStreamRequest {
    IncreaseStreamRequest { num, request_id }
}

fn response(num: i32, request_id: u64) -> IncreaseStreamResponse {
    IncreaseStreamResponse {
        num,
        request_id,
        failure: None,
    }
}

async fn increase_all(requests: Vec<IncreaseStreamRequest>) -> Streaming<IncreaseStreamResponse> {
    let mut client = client();
    let responses = client.increase_stream(tokio_stream::iter(requests));
    responses.await.unwrap().into_inner()
}

async fn sum(nums: impl IntoIterator<Item = i32, IntoIter: Send + 'static>) -> SumResponse {
    let nums = nums.into_iter().map(|num| SumRequest { num });
    let response = client().sum(tokio_stream::iter(nums)).await;
    response.unwrap().into_inner()
}

async fn countdown(from: i32) -> Result<Streaming<CountdownResponse>, Status> {
    let response = client().countdown(CountdownRequest { from }).await?;
    Ok(response.into_inner())
}

#[tokio::test]
async fn a_number_is_increased() {
    for (num, next) in [
        (0, 1),
        (-1, 0),
        (i32::MIN, i32::MIN + 1),
        (i32::MAX - 1, i32::MAX),
    ] {
        assert_eq!(increase(num).await.unwrap(), next);
    }
}

#[tokio::test]
async fn the_last_number_is_out_of_range() {
    let status = increase(i32::MAX).await.unwrap_err();
    assert_eq!(code_and_message(&status), (Code::OutOfRange, NO_NEXT));
}

#[tokio::test]
async fn responses_have_the_order_and_the_ids_of_their_requests() {
    let requests = vec![request(5, 9), request(1, 3), request(7, 0), request(1, 3)];
    let responses: Vec<_> = increase_all(requests)
        .await
        .map(Result::unwrap)
        .collect()
        .await;
    let expected = [
        response(6, 9),
        response(2, 3),
        response(8, 0),
        response(2, 3),
    ];
    assert_eq!(responses, expected);
}

#[tokio::test]
async fn a_request_with_an_id_fails_alone() {
    let requests = vec![request(1, 1), request(i32::MAX, 2), request(3, 3)];
    let responses: Vec<_> = increase_all(requests)
        .await
        .map(Result::unwrap)
        .collect()
        .await;
    let failed = IncreaseStreamResponse {
        num: 0,
        request_id: 2,
        failure: Some(Failure {
            code: 11,
            message: NO_NEXT.to_owned(),
        }),
    };
    assert_eq!(responses, [response(2, 1), failed, response(4, 3)]);
}

#[tokio::test]
async fn a_request_without_an_id_that_fails_ends_the_stream_with_its_status() {
    let requests = vec![request(1, 0), request(i32::MAX, 0), request(3, 0)];
    let mut responses = increase_all(requests).await;
    assert_eq!(responses.message().await.unwrap(), Some(response(2, 0)));
    let status = responses.message().await.unwrap_err();
    assert_eq!(code_and_message(&status), (Code::OutOfRange, NO_NEXT));
    assert_eq!(responses.message().await.unwrap(), None);
}

#[tokio::test]
async fn each_response_comes_before_the_next_request() {
    let (requests, received) = mpsc::channel(1);
    let mut client = client();
    let responses = client.increase_stream(ReceiverStream::new(received));
    let mut responses = responses.await.unwrap().into_inner();
    let mut num = 0;
    for _ in 0..100 {
        requests.send(request(num, 1)).await.unwrap();
        num = responses.message().await.unwrap().unwrap().num;
    }
    assert_eq!(num, 100);
    drop(requests);
    assert_eq!(responses.message().await.unwrap(), None);
}

#[tokio::test]
async fn a_stream_without_requests_has_no_responses() {
    let mut responses = increase_all(Vec::new()).await;
    assert_eq!(responses.message().await.unwrap(), None);
}

#[tokio::test]
async fn a_sum_has_the_total_and_the_count() {
    for (nums, total) in [
        (vec![], 0),
        (vec![3, -5, 1], -1),
        (vec![i32::MAX; 3], 3 * i64::from(i32::MAX)),
        (vec![i32::MIN; 3], 3 * i64::from(i32::MIN)),
    ] {
        let count = nums.len() as u64;
        assert_eq!(sum(nums).await, SumResponse { total, count });
    }
}

#[tokio::test]
async fn a_sum_takes_300_000_numbers() {
    let many = sum(iter::repeat_n(2, 300_000)).await;
    let expected = SumResponse {
        total: 600_000,
        count: 300_000,
    };
    assert_eq!(many, expected);
}

#[tokio::test]
async fn a_countdown_ends_at_zero() {
    for (from, expected) in [(3, vec![3, 2, 1, 0]), (0, vec![0])] {
        let numbers = countdown(from).await.unwrap();
        let numbers: Vec<_> = numbers.map(|number| number.unwrap().num).collect().await;
        assert_eq!(numbers, expected);
    }
}

#[tokio::test]
async fn a_countdown_from_the_last_number_begins_at_once() {
    let mut numbers = countdown(i32::MAX).await.unwrap();
    for expected in [i32::MAX, i32::MAX - 1] {
        let number = numbers.message().await.unwrap().unwrap();
        assert_eq!(number.num, expected);
    }
}

#[tokio::test]
async fn a_countdown_from_below_zero_is_an_invalid_argument() {
    for from in [-1, i32::MIN] {
        let status = countdown(from).await.unwrap_err();
        let expected = format!("from is {from}; send 0 to 2147483647");
        assert_eq!(
            code_and_message(&status),
            (Code::InvalidArgument, expected.as_str())
        );
    }
}
