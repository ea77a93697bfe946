//! M87 and M88: allocations of the layer per call.

#![expect(clippy::unwrap_used, reason = "helpers of tests fail as tests do")]

use std::{convert::Infallible, future::Ready, task::Context};

use bytes::Bytes;
use grpc_prometheus::{Buckets, ClientMetrics, Exposition, ServerMetrics};
use http::{Request, Response};
use http_body::{Body, Frame};
use prost::Message;
use prost_types::{
    FileDescriptorProto, FileDescriptorSet, MethodDescriptorProto, ServiceDescriptorProto,
};
use tower::{Layer, Service};

/// A message and the trailers of an OK, without allocations.
struct Answer {
    trailers: Option<http::HeaderMap>,
    data: Option<Bytes>,
}

impl Body for Answer {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: std::pin::Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> std::task::Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        let data = self.data.take().map(Frame::data);
        let frame = data.or_else(|| self.trailers.take().map(Frame::trailers));
        std::task::Poll::Ready(frame.map(Ok))
    }
}

/// Reads the request and responds.
#[derive(Clone)]
struct NoOp;

impl<B: Body<Data = Bytes> + Unpin> Service<Request<B>> for NoOp {
    type Response = Response<Answer>;
    type Error = Infallible;
    type Future = Ready<Result<Response<Answer>, Infallible>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> std::task::Poll<Result<(), Infallible>> {
        std::task::Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        read(request.into_body());
        let mut trailers = http::HeaderMap::new();
        trailers.insert("grpc-status", http::HeaderValue::from_static("0"));
        let answer = Answer {
            trailers: Some(trailers),
            data: Some(MESSAGE),
        };
        std::future::ready(Ok(Response::new(answer)))
    }
}

const MESSAGE: Bytes = Bytes::from_static(&[0, 0, 0, 0, 2, 8, 1]);

fn read(mut body: impl Body<Data = Bytes> + Unpin) {
    let mut cx = Context::from_waker(std::task::Waker::noop());
    while let std::task::Poll::Ready(Some(_)) = std::pin::Pin::new(&mut body).poll_frame(&mut cx) {}
}

fn request(path: &str, sampled: &'static str) -> Request<Answer> {
    let body = Answer {
        trailers: None,
        data: Some(MESSAGE),
    };
    Request::post(path)
        .header("content-type", "application/grpc")
        .header("grpc-timeout", "1S")
        .header("x-tenant", "a")
        .header("traceparent", sampled)
        .body(body)
        .unwrap()
}

const UNSAMPLED: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-00";
const SAMPLED: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";

/// Allocations of 1,000 sequential calls of one method.
fn allocations<S, F, B>(service: S, sampled: &'static str) -> u64
where
    S: Service<Request<Answer>, Future = F>,
    F: Future<Output = Result<Response<B>, S::Error>>,
    B: Body<Data = Bytes> + Unpin,
{
    let requests = (0..1_001).map(|_| request("/p.S/Do", sampled));
    allocations_of(service, requests)
}

/// Allocations of all calls but the first, including those of the requests.
fn allocations_of<S, F, B>(
    mut service: S,
    mut requests: impl Iterator<Item = Request<Answer>>,
) -> u64
where
    S: Service<Request<Answer>, Future = F>,
    F: Future<Output = Result<Response<B>, S::Error>>,
    B: Body<Data = Bytes> + Unpin,
{
    let mut call = |request| {
        let mut cx = Context::from_waker(std::task::Waker::noop());
        let future = std::pin::pin!(service.call(request));
        let std::task::Poll::Ready(Ok(response)) = future.poll(&mut cx) else {
            panic!("a no-op service answers at once");
        };
        read(response.into_body());
    };
    call(requests.next().unwrap());
    let info = allocation_counter::measure(|| requests.for_each(call));
    info.count_total
}

fn descriptor_set() -> Vec<u8> {
    let method = MethodDescriptorProto {
        name: Some("Do".into()),
        ..Default::default()
    };
    let service = ServiceDescriptorProto {
        name: Some("S".into()),
        method: vec![method],
        ..Default::default()
    };
    let file = FileDescriptorProto {
        package: Some("p".into()),
        service: vec![service],
        ..Default::default()
    };
    FileDescriptorSet { file: vec![file] }.encode_to_vec()
}

#[test]
fn a_thousand_calls_allocate_nothing_more_with_the_layer() {
    let exposition = Exposition::default();
    let server = ServerMetrics::builder()
        .descriptor_set(&descriptor_set())
        .message_sizes(Buckets::A66Bytes)
        .metadata_label("tenant", "x-tenant", ["a", "b"], "other")
        .exemplars(true)
        .register(&exposition)
        .unwrap();
    let client = ClientMetrics::builder()
        .descriptor_set(&descriptor_set())
        .message_sizes(Buckets::A66Bytes)
        .message_times(Buckets::Fine)
        .register(&exposition)
        .unwrap();
    let without = allocations(NoOp, UNSAMPLED);
    assert!(without > 0, "the counter counts");
    for sampled in [UNSAMPLED, SAMPLED] {
        let with = allocations(server.layer().layer(NoOp), sampled);
        assert_eq!(with, without, "server, {sampled}");
        let layer = client.layer().unboxed();
        assert_eq!(
            allocations(layer.layer(NoOp), sampled),
            without,
            "client, {sampled}"
        );
    }
    assert_eq!(server.snapshot().handled[0], 2 * 1_001);
    assert_eq!(client.snapshot().handled[0], 2 * 1_001);
}

/// Opens this many calls, leaves them unanswered and drops them, twice. Returns the allocations of
/// the second round.
fn allocations_of_open_calls<S>(mut service: S, count: usize) -> u64
where
    S: Service<Request<Answer>, Future: Unpin>,
{
    let mut open = Vec::with_capacity(count);
    let mut round = || {
        open.extend((0..count).map(|_| service.call(request("/p.S/Do", UNSAMPLED))));
        open.clear();
    };
    round();
    allocation_counter::measure(round).count_total
}

#[test]
fn two_thousand_calls_that_are_open_at_once_allocate_nothing_more_the_second_time() {
    #[derive(Clone)]
    struct Silent;

    impl<B> Service<Request<B>> for Silent {
        type Response = Response<Answer>;
        type Error = Infallible;
        type Future = std::future::Pending<Result<Response<Answer>, Infallible>>;

        fn poll_ready(&mut self, _: &mut Context<'_>) -> std::task::Poll<Result<(), Infallible>> {
            std::task::Poll::Ready(Ok(()))
        }

        fn call(&mut self, _: Request<B>) -> Self::Future {
            std::future::pending()
        }
    }

    let server = ServerMetrics::builder()
        .descriptor_set(&descriptor_set())
        .register(&Exposition::default())
        .unwrap();
    let with = allocations_of_open_calls(server.layer().layer(Silent), 2_000);
    assert_eq!(with, allocations_of_open_calls(Silent, 2_000));
    assert_eq!(server.snapshot().handled[1], 4_000);
}

// M57: unknown paths leave nothing behind.
#[test]
fn a_hundred_thousand_unknown_paths_allocate_nothing_more_with_the_layer() {
    let exposition = Exposition::default();
    let server = ServerMetrics::builder()
        .descriptor_set(&descriptor_set())
        .register(&exposition)
        .unwrap();
    let requests = || {
        let path = |index| match index % 2 {
            0 => format!("/p.S/Unknown{index}"),
            _ => format!("/p.Unknown{index}/Do"),
        };
        let paths = (0..100_001).map(path);
        paths.map(|path| request(&path, UNSAMPLED))
    };
    // The first calls create both label sets of unknown methods.
    allocations_of(server.layer().layer(NoOp), requests().take(2));
    let with = allocations_of(server.layer().layer(NoOp), requests());
    assert_eq!(with, allocations_of(NoOp, requests()));
    assert_eq!(server.snapshot().started, 2 + 100_001);
}

// A `Channel` accepts only tonic's own body, so the counting body is boxed.
#[test]
fn the_layer_for_a_channel_allocates_once_per_call() {
    let exposition = Exposition::default();
    let client = ClientMetrics::builder()
        .descriptor_set(&descriptor_set())
        .register(&exposition)
        .unwrap();
    let boxing = tower::service_fn(|request: Request<Answer>| {
        NoOp.call(request.map(tonic::body::Body::new))
    });
    let unboxed = allocations(NoOp, UNSAMPLED);
    assert_eq!(allocations(boxing, UNSAMPLED), unboxed + 1_000);
    let metered = client.layer().layer(NoOp);
    assert_eq!(allocations(metered, UNSAMPLED), unboxed + 1_000);
}
