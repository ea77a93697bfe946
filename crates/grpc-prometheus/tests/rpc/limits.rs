//! Extreme but valid numbers.

use std::future::ready;

use bytes::Bytes;
use futures_util::FutureExt;
use grpc_prometheus::{
    Buckets, Client, ClientMetrics, Error, Exposition, RequestBody, ServerMetrics,
};
use http::{Request, Response};
use http_body_util::{BodyExt, Empty, Full};
use prometheus::{Registry, TextEncoder};
use tonic::GrpcMethod;
use tower::{BoxError, Layer, ServiceExt, service_fn};

use crate::{echo::echo_descriptor_set, expect::page, layers::grpc};

// The names are literals of a program, but it may be a proxy's.
#[test]
fn a_client_without_descriptors_knows_at_most_1024_methods_and_loses_no_call() {
    let exposition = Exposition::default();
    let layer = ClientMetrics::builder()
        .register(&exposition)
        .unwrap()
        .layer();
    let names = (0..3_000).map(|index| &*Box::leak(format!("Method{index}").into_boxed_str()));
    let names: Vec<&'static str> = names.collect();
    let call = |name: &&'static str| {
        let request = grpc(&format!("/p.S/{name}")).extension(GrpcMethod::new("p.S", name));
        let request = request.body(Empty::<Bytes>::new()).unwrap();
        let service = service_fn(|_: Request<RequestBody<Empty<Bytes>, Client>>| {
            ready(Err::<Response<Empty<Bytes>>, BoxError>("no".into()))
        });
        let call = layer.unboxed().layer(service).oneshot(request);
        call.now_or_never().unwrap().unwrap_err();
    };
    names.iter().for_each(call);
    let lines = page(&exposition).lines().count();
    names.iter().for_each(call);
    let page = page(&exposition);
    assert_eq!(
        page.lines().count(),
        lines,
        "those that found no place find none later"
    );
    let started = page
        .lines()
        .filter(|line| line.starts_with("grpc_client_started_total{"));
    let (unknown, known): (Vec<_>, Vec<_>) =
        started.partition(|line| line.contains("\"unknown\",grpc_service"));
    assert!((1_000..=1_024).contains(&known.len()), "{}", known.len());
    assert!(known.iter().all(|line| line.ends_with("} 2")));
    let rest = 2 * (names.len() - known.len());
    assert_eq!(unknown.len(), 1);
    assert!(unknown[0].ends_with(&format!("}} {rest}")), "{unknown:?}");
}

/// Counts requests of these sizes in bytes, and returns the page.
fn sizes(bounds: Vec<f64>, messages: &[u16]) -> (Exposition, String) {
    let exposition = Exposition::default();
    let builder = ServerMetrics::builder().descriptor_set(&echo_descriptor_set());
    let builder = builder.message_sizes(Buckets::Custom(bounds));
    let layer = builder.register(&exposition).unwrap().layer();
    let messages = messages.iter().map(|length| {
        let [high, low] = length.to_be_bytes();
        [&[0, 0, 0, high, low][..], &vec![0; usize::from(*length)]].concat()
    });
    let body = Full::new(Bytes::from(messages.collect::<Vec<_>>().concat()));
    let service = service_fn(|request: Request<RequestBody<Full<Bytes>>>| async {
        request.into_body().collect().await?;
        Ok::<_, BoxError>(tonic::Status::ok("").into_http::<tonic::body::Body>())
    });
    let request = grpc("/t.v1.Echo/Unary").body(body).unwrap();
    layer
        .layer(service)
        .oneshot(request)
        .now_or_never()
        .unwrap()
        .unwrap();
    let page = page(&exposition);
    (exposition, page)
}

fn bucket(page: &str, bound: &str) -> u64 {
    let start = "grpc_server_msg_size_received_bytes_bucket{grpc_method=\"Unary\",";
    let end = format!(",le=\"{bound}\"}} ");
    let mut lines = page.lines().filter(|line| line.starts_with(start));
    lines
        .find_map(|line| Some(line.split_once(&end)?.1.parse().unwrap()))
        .unwrap()
}

#[test]
fn a_value_is_in_the_bucket_of_its_bound_wherever_that_lies() {
    let bounds = vec![0.0, 5e-324, 0.5, 1.0, 1.5, 2.0, 1e300];
    let (exposition, page) = sizes(bounds, &[0, 1, 2, 3]);
    let counts = [
        ("0", 1),
        ("0.5", 1),
        ("1", 2),
        ("1.5", 2),
        ("2", 3),
        ("+Inf", 4),
    ];
    for (bound, count) in counts {
        assert_eq!(bucket(&page, bound), count, "{bound}");
    }
    assert_eq!(bucket(&page, &1e300_f64.to_string()), 4);
    let gathered = TextEncoder::new().encode_to_string(&exposition.registry().gather());
    let gathered = gathered.unwrap();
    let mut expected: Vec<_> = gathered.lines().collect();
    let mut written: Vec<_> = page.lines().collect();
    expected.sort_unstable();
    written.sort_unstable();
    assert_eq!(written, expected);
}

#[test]
fn ten_thousand_buckets_are_ten_thousand_buckets() {
    let bounds = (0..10_000).map(f64::from).collect();
    let (_, page) = sizes(bounds, &[300, 9_998, 9_999, 10_000]);
    for (bound, count) in [
        ("299", 0),
        ("300", 1),
        ("9998", 2),
        ("9999", 3),
        ("+Inf", 4),
    ] {
        assert_eq!(bucket(&page, bound), count, "{bound}");
    }
}

#[test]
fn a_label_that_the_registry_adds_too_is_an_error_and_leaves_nothing_behind() {
    for name in ["grpc_type", "grpc_code", "le", "zone", "tenant"] {
        let added = [(name.to_owned(), "x".to_owned())].into();
        let registry = Registry::new_custom(None, Some(added)).unwrap();
        let exposition = Exposition::new(&registry);
        let builder = || ServerMetrics::builder().descriptor_set(&echo_descriptor_set());
        let labelled =
            builder()
                .const_label("zone", "a")
                .metadata_label("tenant", "x-tenant", ["a"], "other");
        match labelled.register(&exposition) {
            Err(Error::LabelName { name: twice }) => assert_eq!(twice, name),
            other => panic!("{name}: {other:?}"),
        }
        assert_eq!(page(&exposition), "");
    }
}
