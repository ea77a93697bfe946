//! The counter under its old names, by unary calls and by streams.

use futures_util::{StreamExt, TryStreamExt, stream};
use http::uri::PathAndQuery;
use tokio::sync::oneshot;
use tonic::client::Grpc;
use tonic::codec::CompressionEncoding;
use tonic::transport::Endpoint;
use tonic::{Code, Status};
use tonic_prost::ProstCodec;
use vitalmesh_proto::counter::v1::{
    IncreaseRequest, IncreaseResponse, IncreaseStreamRequest, IncreaseStreamResponse,
};
use vitalmesh_tests::{channel, counter, eventually_eq};

use crate::fixture::{call, handled};

const TO_RUST: &str = "/python_to_rust_simple.PythonToRustSimpleService/increase";
const TO_PYTHON: &str = "/python_to_python_simple.Simple_python_python/increase";
const TWO_WAY: &str = "/python_to_python_two_way_stream.Two_way_stream_python_to_python/increase";

/// A request without an id, as older clients send it.
const fn number(num: i32) -> IncreaseStreamRequest {
    IncreaseStreamRequest { num, request_id: 0 }
}

#[tokio::test]
async fn both_old_unary_calls_return_the_next_number() {
    let counter = counter(&[]).start().await.unwrap();
    let addresses = counter.addresses();
    for path in [TO_RUST, TO_PYTHON] {
        let next = async |num| -> Result<i32, Status> {
            let response: IncreaseResponse =
                call(addresses.grpc, path, IncreaseRequest { num }).await?;
            Ok(response.num)
        };
        assert_eq!(next(41).await.unwrap(), 42);
        assert_eq!(next(i32::MAX).await.unwrap_err().code(), Code::OutOfRange);
        for code in ["OK", "OutOfRange"] {
            let counted = async || handled(addresses.scrape, path, code).await;
            eventually_eq(Some(1.0), counted).await;
        }
    }
}

#[tokio::test]
async fn the_old_two_way_stream_responds_in_order_without_ids_and_in_gzip() {
    let counter = counter(&[]).start().await.unwrap();
    let numbers = (0..1000).map(number);
    let mut grpc = Grpc::new(channel(counter.addresses().grpc))
        .send_compressed(CompressionEncoding::Gzip)
        .accept_compressed(CompressionEncoding::Gzip);
    grpc.ready().await.unwrap();
    let codec = ProstCodec::<_, IncreaseStreamResponse>::default();
    let path = PathAndQuery::from_static(TWO_WAY);
    let requests = tonic::Request::new(stream::iter(numbers));
    let responses = grpc.streaming(requests, path, codec).await.unwrap();
    assert_eq!(responses.metadata().get("grpc-encoding").unwrap(), "gzip");
    let responses: Vec<_> = responses.into_inner().try_collect().await.unwrap();
    let expected = (1..=1000).map(|num| IncreaseStreamResponse {
        num,
        ..IncreaseStreamResponse::default()
    });
    assert_eq!(responses, expected.collect::<Vec<_>>());
}

#[tokio::test]
async fn a_client_that_sends_long_before_it_reads_is_throttled_and_not_disconnected() {
    let counter = counter(&[]).start().await.unwrap();
    // More than h2 buffers unread by default, beyond what the client's window of 64 KiB lets the
    // server respond to, and less than fills the stream's window.
    const COUNT: i32 = 14_000;
    let (sent, all_sent) = oneshot::channel();
    let numbers = stream::iter(0..COUNT).then(async |num| {
        // Otherwise the encoder would put many messages into one frame.
        tokio::task::yield_now().await;
        number(num)
    });
    let numbers = numbers.chain(stream::once(async move {
        sent.send(()).unwrap();
        number(COUNT)
    }));
    let endpoint = Endpoint::try_from(format!("http://{}", counter.addresses().grpc)).unwrap();
    let endpoint = endpoint
        .initial_stream_window_size(64 << 10)
        .initial_connection_window_size(8 << 20);
    let mut grpc = Grpc::new(endpoint.connect().await.unwrap());
    grpc.ready().await.unwrap();
    let codec = ProstCodec::<_, IncreaseStreamResponse>::default();
    let path = PathAndQuery::from_static(TWO_WAY);
    let responses = grpc.streaming(tonic::Request::new(numbers), path, codec);
    let responses = responses.await.unwrap().into_inner();
    all_sent.await.unwrap();
    let responses: Result<Vec<_>, _> = responses
        .map_ok(|response| response.num)
        .try_collect()
        .await;
    assert_eq!(responses.unwrap(), (1..=COUNT + 1).collect::<Vec<_>>());
}
