//! The text of a scrape: our series and everybody else's.

use std::{collections::BTreeMap, fmt::Write};

use prometheus::{
    Registry, TextEncoder,
    proto::{MetricFamily, MetricType},
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

/// Through the text of the prometheus crate: with its `protobuf` feature it hides the values.
fn write_other(name: &str, family: &MetricFamily, page: &mut Page) {
    let metric_type = family.get_field_type();
    if metric_type == MetricType::UNTYPED {
        // Its encoder panics at this type, which none of its metrics has.
        return;
    }
    let Ok(text) = TextEncoder::new().encode_to_string(std::slice::from_ref(family)) else {
        // A family without a name or without a metric shows nothing.
        return;
    };
    page.head(name, family.help(), metric_type);
    let counter = metric_type == MetricType::COUNTER && page.format == Format::OpenMetrics;
    let suffix = match counter && !name.ends_with("_total") {
        true => "_total",
        false => "",
    };
    let samples = text.lines().filter(|line| !line.starts_with('#'));
    for sample in samples.filter_map(|line| OtherSample::parse(line, name)) {
        sample.write(name, suffix, metric_type, page);
    }
}

/// One line of the text format, less the name of its family.
struct OtherSample<'a> {
    /// `_bucket`, `_sum`, `_count` or nothing.
    part: &'a str,
    /// With braces; may be empty.
    labels: &'a str,
    value: &'a str,
    /// Milliseconds.
    timestamp: Option<i64>,
}

// === impl OtherSample ===

impl<'a> OtherSample<'a> {
    fn parse(line: &'a str, family: &str) -> Option<Self> {
        let line = line.strip_prefix(family)?;
        // Label values may hold anything, numbers hold no brace.
        let end = line
            .rfind('}')
            .map(|brace| brace + 1)
            .or_else(|| line.find(' '))?;
        let (series, numbers) = line.split_at(end);
        let (part, labels) = series.split_at(series.find('{').unwrap_or(end));
        let mut numbers = numbers.split_ascii_whitespace();
        Some(Self {
            part,
            labels,
            value: numbers.next()?,
            timestamp: numbers.next().and_then(|millis| millis.parse().ok()),
        })
    }

    fn write(&self, name: &str, suffix: &str, metric_type: MetricType, page: &mut Page) {
        let value = match self.value {
            "inf" => "+Inf",
            "-inf" => "-Inf",
            value => value,
        };
        page.push(&[name, suffix, self.part]);
        match (self.bound(metric_type), page.format) {
            (Some((labels, bound)), Format::OpenMetrics) => {
                page.push(&[labels, &openmetrics::number(bound), "\"}"]);
            }
            _ => page.push(&[self.labels]),
        }
        page.push(&[" ", value]);
        // Writing to a string cannot fail.
        _ = match (self.timestamp, page.format) {
            (None, _) => Ok(()),
            (Some(millis), Format::Text) => write!(page.out, " {millis}"),
            (Some(millis), Format::OpenMetrics) => write!(page.out, " {}", millis as f64 / 1e3),
        };
        page.push(&["\n"]);
    }

    /// A bucket's or a quantile's bound, which is the last label, and what is before it.
    fn bound(&self, metric_type: MetricType) -> Option<(&'a str, f64)> {
        let label = match (metric_type, self.part) {
            (MetricType::HISTOGRAM, "_bucket") => "le=\"",
            (MetricType::SUMMARY, "") => "quantile=\"",
            _ => return None,
        };
        let start = self.labels.rfind(label)? + label.len();
        let (labels, bound) = self.labels.split_at(start);
        let bound: f64 = bound.strip_suffix("\"}")?.parse().ok()?;
        bound.is_finite().then_some((labels, bound))
    }
}
