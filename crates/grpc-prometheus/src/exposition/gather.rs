//! Converts series to metric families, for `Registry::gather`.

use std::time::SystemTime;

use prometheus::proto::{
    Bucket, Counter, Gauge, Histogram, LabelPair, Metric, MetricFamily, MetricType,
};

use super::samples::{Distribution, Sink};
use crate::series::{
    Config, Family, Store,
    labels::{CodePairs, Labels},
};

struct Families<'a> {
    config: &'a Config,
    families: Vec<MetricFamily>,
}

impl Store {
    pub(crate) fn gather(&self) -> Vec<MetricFamily> {
        let mut sink = Families {
            config: &self.schema.config,
            families: Vec::new(),
        };
        let samples = self.samples();
        for family in self.families() {
            samples.write(family, &mut sink);
        }
        sink.families
    }
}

// === impl Families ===

impl Families<'_> {
    fn push(&mut self, labels: &Labels, code: &CodePairs, set: impl FnOnce(&mut Metric)) {
        let mut pairs: Vec<LabelPair> = labels.pairs.iter().map(|(n, v)| pair(n, v)).collect();
        for (name, value) in code {
            let index = pairs.partition_point(|pair| pair.name() < *name);
            pairs.insert(index, pair(name, value));
        }
        let mut metric = Metric::default();
        metric.set_label(pairs);
        set(&mut metric);
        if let Some(family) = self.families.last_mut() {
            family.mut_metric().push(metric);
        }
    }
}

impl Sink for Families<'_> {
    fn family(&mut self, family: Family) {
        let mut metrics = MetricFamily::default();
        metrics.set_name(self.config.family(family));
        metrics.set_help(family.help().to_owned());
        metrics.set_field_type(family.metric_type());
        self.families.push(metrics);
    }

    fn value(&mut self, labels: &Labels, code: &CodePairs, value: u64, _: SystemTime) {
        let family = self.families.last();
        let gauge = family.is_some_and(|family| family.get_field_type() == MetricType::GAUGE);
        self.push(labels, code, |metric| {
            if gauge {
                let mut gauge = Gauge::default();
                gauge.set_value(value as f64);
                metric.set_gauge(gauge);
            } else {
                let mut counter = Counter::default();
                counter.set_value(value as f64);
                metric.set_counter(counter);
            }
        });
    }

    fn histogram(&mut self, labels: &Labels, code: &CodePairs, distribution: &Distribution<'_>) {
        self.push(labels, code, |metric| {
            metric.set_histogram(proto(distribution));
        });
    }
}

fn proto(distribution: &Distribution<'_>) -> Histogram {
    let bounds = &distribution.histogram.bounds().upper;
    let mut count = 0;
    let cumulated = distribution.buckets.iter().map(|value| {
        count += value;
        count
    });
    // Without `+Inf`: encoders derive it from the count, and would print an explicit one as `inf`.
    let buckets = bounds.iter().zip(cumulated).map(|(bound, count)| {
        let mut bucket = Bucket::default();
        bucket.set_cumulative_count(count);
        bucket.set_upper_bound(*bound);
        bucket
    });
    let buckets = buckets.collect();
    let mut histogram = Histogram::default();
    histogram.set_bucket(buckets);
    histogram.set_sample_count(distribution.buckets.iter().sum());
    histogram.set_sample_sum(distribution.sum());
    histogram
}

fn pair(name: &str, value: &str) -> LabelPair {
    let mut pair = LabelPair::default();
    pair.set_name(name.to_owned());
    pair.set_value(value.to_owned());
    pair
}
