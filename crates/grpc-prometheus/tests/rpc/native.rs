//! The protobuf format, and native histograms in it.

use bytes::Bytes;
use grpc_prometheus::{Buckets, CodeLabel, Exposition, ServerMetrics};
use http::{
    HeaderMap, HeaderValue,
    header::{ACCEPT, CONTENT_TYPE},
};
use http_body_util::BodyExt;
use prometheus::{Counter, Gauge, Histogram, HistogramOpts, Opts, TextEncoder};
use prost::Message;

use crate::{
    echo::echo_descriptor_set,
    expect::{openmetrics, page},
    names::{fixture, fresh},
};

const PROTOBUF: &str = "application/vnd.google.protobuf; proto=io.prometheus.client.MetricFamily; \
    encoding=delimited";

/// What Prometheus reads, with its numbers of fields.
mod client {
    #[derive(Clone, PartialEq, prost::Message)]
    pub(super) struct Family {
        #[prost(string, tag = "1")]
        pub(super) name: String,
        #[prost(string, tag = "2")]
        pub(super) help: String,
        #[prost(int32, tag = "3")]
        pub(super) kind: i32,
        #[prost(message, repeated, tag = "4")]
        pub(super) metric: Vec<Metric>,
    }

    #[derive(Clone, PartialEq, prost::Message)]
    pub(super) struct Metric {
        #[prost(message, repeated, tag = "1")]
        pub(super) label: Vec<Label>,
        #[prost(message, optional, tag = "2")]
        pub(super) gauge: Option<Number>,
        #[prost(message, optional, tag = "3")]
        pub(super) counter: Option<Number>,
        #[prost(message, optional, tag = "7")]
        pub(super) histogram: Option<Histogram>,
    }

    #[derive(Clone, PartialEq, prost::Message)]
    pub(super) struct Label {
        #[prost(string, tag = "1")]
        pub(super) name: String,
        #[prost(string, tag = "2")]
        pub(super) value: String,
    }

    #[derive(Clone, Copy, PartialEq, prost::Message)]
    pub(super) struct Number {
        #[prost(double, tag = "1")]
        pub(super) value: f64,
    }

    #[derive(Clone, PartialEq, prost::Message)]
    pub(super) struct Histogram {
        #[prost(uint64, tag = "1")]
        pub(super) count: u64,
        #[prost(double, tag = "2")]
        pub(super) sum: f64,
        #[prost(message, repeated, tag = "3")]
        pub(super) bucket: Vec<Bucket>,
        #[prost(sint32, tag = "5")]
        pub(super) schema: i32,
        #[prost(double, tag = "6")]
        pub(super) zero_threshold: f64,
        #[prost(uint64, tag = "7")]
        pub(super) zero_count: u64,
        #[prost(message, repeated, tag = "12")]
        pub(super) span: Vec<Span>,
        #[prost(sint64, repeated, tag = "13")]
        pub(super) delta: Vec<i64>,
    }

    #[derive(Clone, Copy, PartialEq, prost::Message)]
    pub(super) struct Bucket {
        #[prost(uint64, tag = "1")]
        pub(super) count: u64,
        #[prost(double, tag = "2")]
        pub(super) bound: f64,
    }

    #[derive(Clone, Copy, PartialEq, prost::Message)]
    pub(super) struct Span {
        #[prost(sint32, tag = "1")]
        pub(super) offset: i32,
        #[prost(uint32, tag = "2")]
        pub(super) length: u32,
    }
}

async fn families(exposition: &Exposition) -> Vec<client::Family> {
    let mut headers = HeaderMap::new();
    headers.insert(ACCEPT, HeaderValue::from_static(PROTOBUF));
    let response = exposition.respond(&headers);
    assert_eq!(response.headers()[CONTENT_TYPE], PROTOBUF);
    let mut page: Bytes = response.into_body().collect().await.unwrap().to_bytes();
    let mut families = Vec::new();
    while !page.is_empty() {
        families.push(client::Family::decode_length_delimited(&mut page).unwrap());
    }
    families
}

/// The text that a family's samples would have.
fn text(families: &[client::Family]) -> Vec<String> {
    let mut lines = Vec::new();
    for family in families {
        let name = &family.name;
        for metric in &family.metric {
            let labels: Vec<_> = metric
                .label
                .iter()
                .map(|label| {
                    format!(
                        "{}=\"{}\"",
                        label.name,
                        label.value.replace('\\', "\\\\").replace('"', "\\\"")
                    )
                })
                .collect();
            let series = |suffix: &str, more: &[String]| match [labels.as_slice(), more]
                .concat()
                .join(",")
            {
                labels if labels.is_empty() => format!("{name}{suffix}"),
                labels => format!("{name}{suffix}{{{labels}}}"),
            };
            if let Some(number) = metric.counter.or(metric.gauge) {
                lines.push(format!("{} {}", series("", &[]), number.value));
            }
            let Some(histogram) = &metric.histogram else {
                continue;
            };
            for bucket in &histogram.bucket {
                let bound = bucket.bound.to_string().replace("inf", "+Inf");
                let le = [format!("le=\"{bound}\"")];
                lines.push(format!("{} {}", series("_bucket", &le), bucket.count));
            }
            if histogram
                .bucket
                .last()
                .is_none_or(|bucket| bucket.bound.is_finite())
            {
                let le = ["le=\"+Inf\"".to_owned()];
                lines.push(format!("{} {}", series("_bucket", &le), histogram.count));
            }
            lines.push(format!("{} {}", series("_sum", &[]), histogram.sum));
            lines.push(format!("{} {}", series("_count", &[]), histogram.count));
        }
    }
    lines.sort();
    lines
}

#[tokio::test]
async fn protobuf_has_the_same_samples_as_the_text() {
    let mut fixture = fixture(|builder| {
        let builder = builder
            .message_sizes(Buckets::A66Bytes)
            .native_histograms(true);
        builder
            .const_label("app", "x")
            .code_on_histogram(CodeLabel::OkError)
    });
    let registry = fixture.exposition.registry();
    let counter =
        Counter::with_opts(Opts::new("jobs", "Theirs.").const_label("kind", "a\"} 7")).unwrap();
    counter.inc_by(2.5);
    let gauge = Gauge::new("heat", "Theirs.").unwrap();
    gauge.set(-0.25);
    let waits = Histogram::with_opts(HistogramOpts::new("wait_seconds", "Theirs.")).unwrap();
    waits.observe(0.3);
    registry.register(Box::new(counter)).unwrap();
    registry.register(Box::new(gauge)).unwrap();
    registry.register(Box::new(waits)).unwrap();
    let _open = fixture.server.connection(());
    fixture.echo.unary("head").await.unwrap();
    fixture.echo.unary("err5").await.unwrap_err();
    let families = families(&fixture.exposition).await;
    let gathered = TextEncoder::new().encode_to_string(&fixture.exposition.registry().gather());
    let gathered = gathered.unwrap();
    let mut expected: Vec<_> = gathered
        .lines()
        .filter(|line| !line.starts_with('#'))
        .collect();
    expected.sort_unstable();
    assert_eq!(text(&families), expected);
    let kind = |name: &str| {
        families
            .iter()
            .find(|family| family.name == name)
            .unwrap()
            .kind
    };
    let kinds = [
        "jobs",
        "heat",
        "wait_seconds",
        "grpc_server_handling_seconds",
    ]
    .map(kind);
    assert_eq!(kinds, [0, 1, 4, 4]);
    let mut names: Vec<_> = families.iter().map(|family| &family.name).collect();
    names.sort();
    names.dedup();
    assert_eq!(names.len(), families.len());
}

/// Number and count of each native bucket.
fn native(histogram: &client::Histogram) -> Vec<(i32, i64)> {
    let mut deltas = histogram.delta.iter();
    let (mut number, mut count) = (0, 0);
    let mut buckets = Vec::new();
    for span in &histogram.span {
        number += span.offset;
        for _ in 0..span.length {
            count += deltas.next().unwrap();
            buckets.push((number, count));
            number += 1;
        }
    }
    assert!(deltas.next().is_none());
    buckets
}

#[tokio::test]
async fn native_buckets_hold_the_same_calls_at_nine_percent() {
    let mut fixture = fixture(|builder| {
        builder
            .native_histograms(true)
            .message_sizes(Buckets::A66Bytes)
    });
    for _ in 0..20 {
        fixture.echo.unary("head").await.unwrap();
    }
    let families = families(&fixture.exposition).await;
    let of = |name: &str, method: &str| {
        let family = families.iter().find(|family| family.name == name).unwrap();
        let labelled = |metric: &&client::Metric| metric.label.iter().any(|l| l.value == method);
        family
            .metric
            .iter()
            .find(labelled)
            .unwrap()
            .histogram
            .clone()
            .unwrap()
    };
    let times = of("grpc_server_handling_seconds", "Unary");
    assert_eq!((times.schema, times.zero_threshold), (3, 2_f64.powi(-20)));
    let buckets = native(&times);
    let counted: i64 = buckets.iter().map(|(_, count)| *count).sum();
    assert_eq!(counted + times.zero_count as i64, 20);
    // The sum of the times lies between those of the lower and of the upper bounds.
    let bounds = |shift: i32| -> f64 {
        let sums = buckets
            .iter()
            .map(|(number, count)| 2_f64.powf(f64::from(number - shift) / 8.0) * *count as f64);
        sums.sum()
    };
    assert!(
        bounds(1) <= times.sum && times.sum <= bounds(0) + 1e-6 * 20.0,
        "{times:?}"
    );
    // A message of five bytes is in (2^(18/8), 2^(19/8)].
    let sizes = of("grpc_server_msg_size_received_bytes", "Unary");
    assert_eq!(sizes.zero_threshold, 1.0);
    let total =
        sizes.zero_count as i64 + native(&sizes).iter().map(|(_, count)| count).sum::<i64>();
    assert_eq!(total, 20);
    // Without calls, Prometheus still sees a native histogram.
    let unused = of("grpc_server_handling_seconds", "Bidi");
    assert_eq!(
        (unused.zero_threshold, unused.span.len()),
        (2_f64.powi(-20), 0)
    );
}

#[tokio::test]
async fn native_histograms_are_off_by_default_and_change_no_text() {
    let (off, on) = (
        fresh(|builder| builder),
        fresh(|builder| builder.native_histograms(true)),
    );
    assert_eq!(page(&on), page(&off));
    assert_eq!(openmetrics(&on), openmetrics(&off));
    let thresholds = |families: Vec<client::Family>| -> Vec<f64> {
        let metrics = families.into_iter().flat_map(|family| family.metric);
        metrics
            .filter_map(|metric| Some(metric.histogram?.zero_threshold))
            .collect()
    };
    assert_eq!(thresholds(families(&off).await), [0.0; 4]);
    assert_eq!(thresholds(families(&on).await), [2_f64.powi(-20); 4]);
    // The registry's own labels and prefix.
    let labels = [("host".to_owned(), "h".to_owned())].into();
    let registry = prometheus::Registry::new_custom(Some("pre".into()), Some(labels)).unwrap();
    let exposition = Exposition::new(&registry);
    let builder = ServerMetrics::builder().descriptor_set(&echo_descriptor_set());
    builder.register(&exposition).unwrap();
    let text = text(&families(&exposition).await);
    let started = "pre_grpc_server_started_total{grpc_method=\"Bidi\",grpc_service=\"t.v1.Echo\",\
        grpc_type=\"bidi_stream\",host=\"h\"} 0";
    assert!(text.iter().any(|line| line == started), "{text:#?}");
}
