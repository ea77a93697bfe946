//! The series as protobuf metric families, for `Registry::gather`.

use prometheus::proto::{
    Bucket, Counter, Gauge, Histogram, LabelPair, Metric, MetricFamily, MetricType,
};

use crate::{
    ZeroInit,
    cells::{self, Reading},
    families::CODES,
    methods::Method,
    store::{Config, Store},
};

const STARTED: (&str, &str) = ("started_total", "Total number of RPCs started.");
const HANDLED: (&str, &str) = ("handled_total", "Total number of RPCs completed, by code.");
const RECEIVED: (&str, &str) = ("msg_received_total", "Total number of messages received.");
const SENT: (&str, &str) = ("msg_sent_total", "Total number of messages sent.");
const IN_FLIGHT: (&str, &str) = ("in_flight", "RPCs started and not yet completed.");
const HANDLING: (&str, &str) = (
    "handling_seconds",
    "Time from the start of an RPC to its end.",
);

impl Store {
    /// Name, help and variable labels of each family.
    pub(crate) fn families(&self) -> Vec<(String, &'static str, Vec<String>)> {
        let config = &self.plan.config;
        let base = ["grpc_method", "grpc_service", "grpc_type"].map(str::to_owned);
        let mut all = Vec::new();
        for (name, help) in [STARTED, HANDLED, RECEIVED, SENT, IN_FLIGHT, HANDLING] {
            let mut labels = base.to_vec();
            if name == HANDLED.0 {
                labels.push("grpc_code".to_owned());
            }
            if name != HANDLING.0 || self.plan.handling().is_some() {
                all.push((config.family(name), help, labels));
            }
        }
        all
    }

    pub(crate) fn collect(&self) -> Vec<MetricFamily> {
        let config = &self.plan.config;
        let readings = self.readings();
        let counter = |(name, help), value: fn(&Reading) -> u64| {
            let metrics = readings.iter().map(|(method, reading)| {
                let mut metric = labelled(config, method, None);
                let mut counter = Counter::default();
                counter.set_value(value(reading) as f64);
                metric.set_counter(counter);
                metric
            });
            family(config, name, help, MetricType::COUNTER, metrics.collect())
        };
        let mut families = vec![
            counter(STARTED, Reading::started),
            counter(RECEIVED, Reading::received),
            counter(SENT, Reading::sent),
        ];
        let mut handled = Vec::new();
        let mut in_flight = Vec::new();
        let mut handling = Vec::new();
        for (method, reading) in &readings {
            for code in 0..CODES {
                let value = reading.handled(code);
                let wanted = match config.zero_init {
                    ZeroInit::All => true,
                    ZeroInit::OkOnly => code == 0,
                    ZeroInit::None => false,
                };
                if value == 0 && !wanted {
                    continue;
                }
                let mut metric = labelled(config, method, Some(config.style.codes()[code]));
                let mut counter = Counter::default();
                counter.set_value(value as f64);
                metric.set_counter(counter);
                handled.push(metric);
            }
            let mut metric = labelled(config, method, None);
            let mut gauge = Gauge::default();
            gauge.set_value(reading.in_flight() as f64);
            metric.set_gauge(gauge);
            in_flight.push(metric);
            let Some(histogram) = self.plan.handling() else {
                continue;
            };
            for slot in 0..histogram.slots() {
                let code = config.code_label.value(config.style, slot);
                let mut metric = labelled(config, method, code);
                metric.set_histogram(proto_histogram(reading, histogram, slot));
                handling.push(metric);
            }
        }
        families.push(family(
            config,
            HANDLED.0,
            HANDLED.1,
            MetricType::COUNTER,
            handled,
        ));
        families.push(family(
            config,
            IN_FLIGHT.0,
            IN_FLIGHT.1,
            MetricType::GAUGE,
            in_flight,
        ));
        families.push(family(
            config,
            HANDLING.0,
            HANDLING.1,
            MetricType::HISTOGRAM,
            handling,
        ));
        families
    }

    fn readings(&self) -> Vec<(std::sync::Arc<Method>, Reading)> {
        let methods = self.methods();
        let read = |method: &std::sync::Arc<Method>| {
            let reading = method.series()?.read();
            let wanted = self.plan.config.zero_init != ZeroInit::None || reading.started() > 0;
            wanted.then(|| (std::sync::Arc::clone(method), reading))
        };
        methods.iter().filter_map(read).collect()
    }
}

fn proto_histogram(reading: &Reading, histogram: &cells::Histogram, slot: usize) -> Histogram {
    let (sum, buckets) = reading.histogram(histogram, slot);
    let mut count = 0;
    let bounds = histogram.bounds().iter().map(|nanos| *nanos as f64 / 1e9);
    let buckets = buckets
        .iter()
        .zip(bounds.chain([f64::INFINITY]))
        .map(|(value, bound)| {
            count += value;
            let mut bucket = Bucket::default();
            bucket.set_cumulative_count(count);
            bucket.set_upper_bound(bound);
            bucket
        });
    let buckets: Vec<_> = buckets.collect();
    let mut histogram = Histogram::default();
    histogram.set_sample_sum(sum as f64 / 1e9);
    histogram.set_sample_count(count);
    histogram.set_bucket(buckets);
    histogram
}

fn family(
    config: &Config,
    name: &str,
    help: &str,
    kind: MetricType,
    metrics: Vec<Metric>,
) -> MetricFamily {
    let mut family = MetricFamily::default();
    family.set_name(config.family(name));
    family.set_help(help.to_owned());
    family.set_field_type(kind);
    family.set_metric(metrics);
    family
}

fn labelled(config: &Config, method: &Method, code: Option<&str>) -> Metric {
    let mut labels = vec![
        ("grpc_method", method.spec.method.as_str()),
        ("grpc_service", &method.spec.service),
        ("grpc_type", config.style.kind(method.spec.kind)),
    ];
    labels.extend(code.map(|code| ("grpc_code", code)));
    let constants = config.const_labels.iter();
    labels.extend(constants.map(|(name, value)| (name.as_str(), value.as_str())));
    labels.sort();
    let pairs = labels.into_iter().map(|(name, value)| {
        let mut pair = LabelPair::default();
        pair.set_name(name.to_owned());
        pair.set_value(value.to_owned());
        pair
    });
    let mut metric = Metric::default();
    metric.set_label(pairs.collect());
    metric
}
