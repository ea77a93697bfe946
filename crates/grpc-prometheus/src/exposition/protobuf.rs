//! The protobuf format: `io.prometheus.client.MetricFamily` messages, each after its length. It is
//! the only one with native histograms.

use std::time::SystemTime;

use prometheus::{
    TextEncoder,
    proto::{self, MetricType},
};
use prost::Message;

use super::messages::{
    self, Bucket, BucketSpan, Counter, Exemplar, Gauge, Histogram, LabelPair, Metric, MetricFamily,
    Quantile, Summary,
};
use super::samples::{Distribution, Sink};
use crate::series::{
    Family, NativeBuckets, SCHEMA,
    labels::{CodePairs, Labels},
};

/// Collects the samples of one family of one store.
pub(crate) struct MetricsSink<'a> {
    pub(crate) family: Family,
    /// The labels that the registry adds.
    pub(crate) labels: &'a [(String, String)],
    pub(crate) start_timestamps: bool,
    pub(crate) metrics: Vec<Metric>,
}

/// A family of the page.
pub(crate) fn write(
    name: &str,
    help: &str,
    metric_type: Option<MetricType>,
    metrics: Vec<Metric>,
    out: &mut Vec<u8>,
) {
    let metric_type = match metric_type {
        Some(MetricType::COUNTER) => 0,
        Some(MetricType::GAUGE) => 1,
        Some(MetricType::SUMMARY) => 2,
        Some(MetricType::HISTOGRAM) => 4,
        Some(MetricType::UNTYPED) | None => return,
    };
    let family = MetricFamily {
        name: name.to_owned(),
        help: help.to_owned(),
        metric_type,
        metric: metrics,
    };
    out.extend(family.encode_length_delimited_to_vec());
}

/// The metrics of another collector.
pub(crate) fn foreign(family: &proto::MetricFamily) -> Vec<Metric> {
    let metric_type = family.get_field_type();
    let metrics = family.get_metric().iter();
    let mut values = values(family).into_iter();
    let convert = |metric: &proto::Metric| {
        let labels = metric.get_label().iter();
        let mut converted = Metric {
            label: labels
                .map(|p| LabelPair::new(p.name(), p.value()))
                .collect(),
            timestamp_ms: metric.timestamp_ms(),
            ..Metric::default()
        };
        let mut value = || values.next().unwrap_or_default();
        match metric_type {
            MetricType::COUNTER => {
                converted.counter = Some(Counter {
                    value: value(),
                    created_timestamp: None,
                });
            }
            MetricType::GAUGE => converted.gauge = Some(Gauge { value: value() }),
            MetricType::HISTOGRAM => converted.histogram = Some(histogram(metric)),
            MetricType::SUMMARY => converted.summary = Some(summary(metric)),
            MetricType::UNTYPED => {}
        }
        converted
    };
    metrics.map(convert).collect()
}

/// The values of counters or gauges. They are read from the text of the prometheus crate, because
/// with its feature `protobuf` it has no getter for them.
fn values(family: &proto::MetricFamily) -> Vec<f64> {
    if ![MetricType::COUNTER, MetricType::GAUGE].contains(&family.get_field_type()) {
        return Vec::new();
    }
    let text = TextEncoder::new().encode_to_string(std::slice::from_ref(family));
    let text = text.unwrap_or_default();
    let samples = text.lines().filter(|line| !line.starts_with('#'));
    let value = |line: &str| {
        // Label values may contain spaces and braces, numbers do not.
        let start = line
            .rfind('}')
            .map(|brace| brace + 1)
            .or_else(|| line.find(' '))?;
        line[start..].split_ascii_whitespace().next()?.parse().ok()
    };
    samples
        .map(|line| value(line).unwrap_or_default())
        .collect()
}

fn histogram(metric: &proto::Metric) -> Histogram {
    let histogram = metric.get_histogram();
    let buckets = histogram.get_bucket().iter().map(|bucket| Bucket {
        cumulative_count: bucket.cumulative_count(),
        upper_bound: bucket.upper_bound(),
        exemplar: None,
    });
    Histogram {
        sample_count: histogram.get_sample_count(),
        sample_sum: histogram.get_sample_sum(),
        bucket: buckets.collect(),
        ..Histogram::default()
    }
}

fn summary(metric: &proto::Metric) -> Summary {
    let summary = metric.get_summary();
    let quantiles = summary.get_quantile().iter().map(|quantile| Quantile {
        quantile: quantile.quantile(),
        value: quantile.value(),
    });
    Summary {
        sample_count: summary.sample_count(),
        sample_sum: summary.sample_sum(),
        quantile: quantiles.collect(),
    }
}

// === impl MetricsSink ===

impl MetricsSink<'_> {
    fn metric(&self, labels: &Labels, code: &CodePairs) -> Metric {
        let own = labels.pairs.iter().chain(self.labels);
        let own = own.map(|(name, value)| LabelPair::new(name, value));
        let code = code.iter().map(|(name, value)| LabelPair::new(name, value));
        let mut label: Vec<_> = own.chain(code).collect();
        label.sort_by(|a, b| a.name.cmp(&b.name));
        Metric {
            label,
            ..Metric::default()
        }
    }

    fn created(&self, created: SystemTime) -> Option<messages::Timestamp> {
        self.start_timestamps.then(|| created.into())
    }
}

impl Sink for MetricsSink<'_> {
    fn family(&mut self, family: Family) {
        self.family = family;
    }

    fn value(&mut self, labels: &Labels, code: &CodePairs, value: u64, created: SystemTime) {
        let mut metric = self.metric(labels, code);
        let value = value as f64;
        match self.family.metric_type() {
            MetricType::GAUGE => metric.gauge = Some(Gauge { value }),
            _ => {
                metric.counter = Some(Counter {
                    value,
                    created_timestamp: self.created(created),
                });
            }
        }
        self.metrics.push(metric);
    }

    fn histogram(&mut self, labels: &Labels, code: &CodePairs, distribution: &Distribution<'_>) {
        let mut metric = self.metric(labels, code);
        let mut histogram = Histogram {
            created_timestamp: self.created(distribution.series.created),
            sample_sum: distribution.sum(),
            bucket: self.buckets(distribution),
            sample_count: distribution.buckets.iter().sum(),
            ..Histogram::default()
        };
        if let Some(native) = distribution.native() {
            histogram.set_native(&native);
        }
        metric.histogram = Some(histogram);
        self.metrics.push(metric);
    }
}

impl MetricsSink<'_> {
    fn buckets(&self, distribution: &Distribution<'_>) -> Vec<Bucket> {
        let bounds = distribution.histogram.bounds().upper.iter().copied();
        let counts = distribution.buckets.iter().scan(0, |count, value| {
            *count += value;
            Some(*count)
        });
        let bounds = bounds.chain([f64::INFINITY]).zip(counts).enumerate();
        let buckets = bounds.map(|(index, (upper_bound, cumulative_count))| Bucket {
            cumulative_count,
            upper_bound,
            exemplar: distribution
                .exemplar(self.family, index)
                .map(|exemplar| Exemplar::from(&exemplar)),
        });
        buckets.collect()
    }
}

// === impl Histogram ===

impl Histogram {
    /// Spans of buckets that are not empty, and the difference of each count to the one before.
    fn set_native(&mut self, native: &NativeBuckets) {
        self.schema = SCHEMA;
        self.zero_threshold = native.zero_threshold;
        self.zero_count = native.zero_count;
        // The number of the bucket after the last span.
        let mut next = 0;
        let mut last = 0_i64;
        for (number, count) in (native.first..).zip(&native.counts) {
            if *count == 0 {
                continue;
            }
            match self.positive_span.last_mut() {
                Some(span) if number == next => span.length += 1,
                _ => self.positive_span.push(BucketSpan {
                    offset: number - next,
                    length: 1,
                }),
            }
            next = number + 1;
            let count = i64::try_from(*count).unwrap_or(i64::MAX);
            self.positive_delta.push(count - last);
            last = count;
        }
    }
}
