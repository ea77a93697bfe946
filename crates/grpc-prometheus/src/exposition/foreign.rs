//! Writes the families of other collectors, in both formats.

use std::fmt::Write;

use prometheus::{
    TextEncoder,
    proto::{MetricFamily, MetricType},
};

use super::{negotiation::Format, page::Page};
use crate::series::canonical;

/// Converts the text of the prometheus crate, because the fields of its types are private with the
/// feature `protobuf`.
pub(crate) fn write(name: &str, family: &MetricFamily, page: &mut Page) {
    let metric_type = family.get_field_type();
    if metric_type == MetricType::UNTYPED {
        // The encoder panics for this type, which no metric of the crate has.
        return;
    }
    let Ok(text) = TextEncoder::new().encode_to_string(std::slice::from_ref(family)) else {
        // The encoder rejects families without a name or without metrics.
        return;
    };
    page.head(name, family.help(), metric_type);
    let samples = text.lines().filter(|line| !line.starts_with('#'));
    for sample in samples.filter_map(|line| Sample::parse(line, name)) {
        sample.write(name, metric_type, page);
    }
}

/// A sample line of the text format, without the family name.
struct Sample<'a> {
    /// `_bucket`, `_sum`, `_count` or empty.
    part: &'a str,
    /// With braces, or empty.
    labels: &'a str,
    value: &'a str,
    /// In milliseconds.
    timestamp: Option<i64>,
}

// === impl Sample ===

impl<'a> Sample<'a> {
    fn parse(line: &'a str, family: &str) -> Option<Self> {
        let line = line.strip_prefix(family)?;
        // Label values may contain braces, numbers do not.
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

    fn write(&self, name: &str, metric_type: MetricType, page: &mut Page) {
        let value = match self.value {
            "inf" => "+Inf",
            "-inf" => "-Inf",
            value => value,
        };
        page.push(&[name, self.part]);
        match (self.bound(metric_type), page.format) {
            (Some((labels, bound)), Format::OpenMetrics) => {
                page.push(&[labels, &canonical(bound), "\"}"]);
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

    /// The bound of a bucket or quantile, which is the last label, and the text before it.
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
