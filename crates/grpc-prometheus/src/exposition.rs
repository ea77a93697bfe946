//! The text of a scrape: our series and everybody else's.

use std::{collections::BTreeMap, fmt::Write};

use prometheus::{
    Registry,
    proto::{Metric, MetricFamily, MetricType},
};

use crate::{
    collector::{self, Decorated},
    families::Family,
    labels, openmetrics,
    page::{Format, Page, PageSink},
    samples::Samples,
};

const TEXT: &str = "text/plain; version=0.0.4; charset=utf-8";

/// The whole registry as a scrape answers it: the content type and the body.
///
/// `accept` is the request's `Accept` header; OpenMetrics 1.0 if it asks for that, else the text
/// format 0.0.4. Everything in the registry is shown, families by name; exemplars only in
/// OpenMetrics.
pub fn encode(registry: &Registry, accept: Option<&str>) -> (&'static str, String) {
    let (format, content_type) = match accept {
        Some(accept) if openmetrics::wanted(accept) => {
            (Format::OpenMetrics, openmetrics::CONTENT_TYPE)
        }
        _ => (Format::Text, TEXT),
    };
    let contents = collector::visit(registry);
    let stores: Vec<_> = contents.stores.into_iter().map(Ours::new).collect();
    let mut page = Page::new(format);
    for (name, parts) in by_name(&stores, &contents.others) {
        for part in parts {
            match part {
                Part::Ours(ours, family) => ours.write(family, &mut page),
                Part::Other(other) => write_other(&name, other, &mut page),
            }
        }
    }
    if format == Format::OpenMetrics {
        page.push(&["# EOF\n"]);
    }
    (content_type, page.out)
}

/// One of our stores with its numbers.
struct Ours {
    store: Decorated,
    samples: Samples,
    /// The registry's labels, each with a comma before it.
    labels: String,
}

/// What has one name may come from several collectors.
enum Part<'a> {
    Ours(&'a Ours, Family),
    Other(&'a MetricFamily),
}

fn by_name<'a>(stores: &'a [Ours], others: &'a [MetricFamily]) -> BTreeMap<String, Vec<Part<'a>>> {
    let mut names: BTreeMap<String, Vec<Part<'a>>> = BTreeMap::new();
    for ours in stores {
        for family in ours.store.store.families() {
            let part = Part::Ours(ours, family);
            names.entry(ours.name(family)).or_default().push(part);
        }
    }
    for other in others {
        let name = other.name().to_owned();
        names.entry(name).or_default().push(Part::Other(other));
    }
    names
}

// === impl Ours ===

impl Ours {
    fn new(store: Decorated) -> Self {
        let mut labels = String::new();
        for (name, value) in &store.labels {
            labels.push(',');
            labels::push_pair(&mut labels, name, value);
        }
        Self {
            samples: store.store.samples(),
            labels,
            store,
        }
    }

    fn name(&self, family: Family) -> String {
        let name = self.store.store.plan.config.family(family);
        format!("{}{name}", self.store.prefix)
    }

    fn write(&self, family: Family, page: &mut Page) {
        let mut sink = PageSink::new(page, self.name(family), &self.labels, family);
        self.samples.show(family, &mut sink);
    }
}

fn write_other(name: &str, family: &MetricFamily, page: &mut Page) {
    let metric_type = family.get_field_type();
    page.head(name, family.help(), metric_type);
    let counter = metric_type == MetricType::COUNTER && page.format == Format::OpenMetrics;
    let suffix = match counter && !name.ends_with("_total") {
        true => "_total",
        false => "",
    };
    for metric in family.get_metric() {
        let sample = OtherSample { name, metric };
        match metric_type {
            MetricType::COUNTER => {
                sample.write(page, suffix, None, metric.get_counter().get_value())
            }
            MetricType::GAUGE => sample.write(page, "", None, metric.get_gauge().get_value()),
            MetricType::HISTOGRAM => sample.write_histogram(page),
            MetricType::SUMMARY => sample.write_summary(page),
            // Without its `protobuf` feature the prometheus crate cannot hold such a value.
            MetricType::UNTYPED => {}
        }
    }
}

/// One metric of another collector.
struct OtherSample<'a> {
    name: &'a str,
    metric: &'a Metric,
}

// === impl OtherSample ===

impl OtherSample<'_> {
    fn write_histogram(&self, page: &mut Page) {
        let histogram = self.metric.get_histogram();
        let finite = |bound: f64| bound.is_finite();
        let buckets = histogram.get_bucket().iter();
        for bucket in buckets.filter(|bucket| finite(bucket.upper_bound())) {
            let label = ("le", bucket.upper_bound());
            self.write(
                page,
                "_bucket",
                Some(label),
                bucket.cumulative_count() as f64,
            );
        }
        let count = histogram.get_sample_count() as f64;
        self.write(page, "_bucket", Some(("le", f64::INFINITY)), count);
        self.write(page, "_sum", None, histogram.get_sample_sum());
        self.write(page, "_count", None, count);
    }

    fn write_summary(&self, page: &mut Page) {
        let summary = self.metric.get_summary();
        for quantile in summary.get_quantile() {
            self.write(
                page,
                "",
                Some(("quantile", quantile.quantile())),
                quantile.value(),
            );
        }
        self.write(page, "_sum", None, summary.sample_sum());
        self.write(page, "_count", None, summary.sample_count() as f64);
    }

    fn write(&self, page: &mut Page, suffix: &str, bound: Option<(&str, f64)>, value: f64) {
        page.push(&[self.name, suffix]);
        let mut separator = "{";
        for pair in self.metric.get_label() {
            page.push(&[separator]);
            labels::push_pair(&mut page.out, pair.name(), pair.value());
            separator = ",";
        }
        if let Some((label, bound)) = bound {
            page.push(&[separator]);
            labels::push_pair(&mut page.out, label, &bound_text(bound, page.format));
            separator = ",";
        }
        let close = match separator {
            "{" => " ",
            _ => "} ",
        };
        page.push(&[close, &value_text(value)]);
        self.write_timestamp(page);
        page.push(&["\n"]);
    }

    /// Milliseconds in the text format, seconds in OpenMetrics.
    fn write_timestamp(&self, page: &mut Page) {
        let millis = self.metric.timestamp_ms();
        // Writing to a string cannot fail.
        _ = match (millis, page.format) {
            (0, _) => Ok(()),
            (_, Format::Text) => write!(page.out, " {millis}"),
            (_, Format::OpenMetrics) => write!(page.out, " {}", millis as f64 / 1e3),
        };
    }
}

fn bound_text(bound: f64, format: Format) -> String {
    match format {
        Format::OpenMetrics if bound.is_finite() => openmetrics::number(bound),
        _ => value_text(bound),
    }
}

/// Rust says `inf` where Prometheus says `+Inf`.
fn value_text(value: f64) -> String {
    if value.is_infinite() {
        let sign = if value > 0.0 { '+' } else { '-' };
        return format!("{sign}Inf");
    }
    value.to_string()
}
