//! Writes series directly as the text of a page.

use std::{
    fmt::Write,
    time::{SystemTime, UNIX_EPOCH},
};

use prometheus::proto::MetricType;

use super::{
    naming,
    negotiation::Format,
    openmetrics,
    samples::{Distribution, Sink},
};
use crate::series::{
    Family,
    labels::{self, CodePairs, Labels},
};

/// A page under construction.
#[derive(Debug)]
pub(crate) struct Page {
    pub(crate) out: String,
    pub(crate) format: Format,
    /// The name of the family whose `HELP` and `TYPE` were written last.
    heading: String,
    /// Whether the page has sample lines alone.
    bare: bool,
}

/// Writes the samples of one family of one store to a page.
pub(crate) struct PageSink<'a> {
    page: &'a mut Page,
    name: String,
    /// Labels that the registry adds, each preceded by a comma.
    labels: &'a str,
    family: Family,
    start_timestamps: bool,
    line: String,
}

// === impl Page ===

impl Page {
    pub(crate) const fn new(format: Format) -> Self {
        Self {
            out: String::new(),
            format,
            heading: String::new(),
            bare: false,
        }
    }

    /// For sample lines alone: without `HELP`, `TYPE` and exemplars.
    pub(crate) fn bare(format: Format) -> Self {
        Self {
            bare: true,
            ..Self::new(format)
        }
    }

    /// Writes `HELP` and `TYPE`, once per family.
    pub(crate) fn head(&mut self, name: &str, help: &str, metric_type: MetricType) {
        let openmetrics = self.format == Format::OpenMetrics;
        let name = match naming::stem(name) {
            Some(family) if openmetrics && metric_type == MetricType::COUNTER => family,
            _ => name,
        };
        let metric_type = match metric_type {
            MetricType::COUNTER => "counter",
            MetricType::GAUGE => "gauge",
            MetricType::HISTOGRAM => "histogram",
            MetricType::SUMMARY => "summary",
            MetricType::UNTYPED => return self.untyped_head(name, help),
        };
        self.push_head(name, help, metric_type);
    }

    pub(crate) fn untyped_head(&mut self, name: &str, help: &str) {
        let metric_type = match self.format {
            Format::Text => "untyped",
            Format::OpenMetrics => "unknown",
        };
        self.push_head(name, help, metric_type);
    }

    fn push_head(&mut self, name: &str, help: &str, metric_type: &str) {
        if self.bare || self.heading == name {
            return;
        }
        name.clone_into(&mut self.heading);
        if !help.is_empty() {
            self.push(&["# HELP ", name, " "]);
            labels::push_escaped(&mut self.out, help, self.format == Format::OpenMetrics);
            self.out.push('\n');
        }
        self.push(&["# TYPE ", name, " ", metric_type, "\n"]);
    }

    pub(crate) fn push(&mut self, parts: &[&str]) {
        for part in parts {
            self.out.push_str(part);
        }
    }

    fn push_count(&mut self, value: u64) {
        // Fast path: most values are zero.
        match u8::try_from(value) {
            Ok(digit @ 0..=9) => self.out.push(char::from(b'0' + digit)),
            // Writing to a string cannot fail.
            _ => _ = write!(self.out, "{value}"),
        }
    }
}

// === impl PageSink ===

impl<'a> PageSink<'a> {
    pub(crate) fn new(
        page: &'a mut Page,
        name: String,
        labels: &'a str,
        family: Family,
        start_timestamps: bool,
    ) -> Self {
        Self {
            page,
            name,
            labels,
            family,
            start_timestamps,
            line: String::new(),
        }
    }

    fn head(&mut self) {
        let (help, metric_type) = (self.family.help(), self.family.metric_type());
        self.page.head(&self.name, help, metric_type);
    }

    /// Prepares a line up to its closing brace.
    fn start_line(&mut self, suffix: &str, labels: &Labels, code: &CodePairs) {
        self.line.clear();
        for part in [&self.name, suffix, "{", &labels.before_code] {
            self.line.push_str(part);
        }
        for (name, value) in code {
            labels::push_pair(&mut self.line, name, value);
            self.line.push(',');
        }
        self.line.push_str(&labels.after_code);
        self.line.push_str(self.labels);
    }
}

impl PageSink<'_> {
    /// Writes a sample up to its value. `suffix` comes after the name.
    fn push_series(&mut self, suffix: &str, labels: &Labels, code: &CodePairs) {
        let name = match suffix {
            "" => self.name.as_str(),
            // In OpenMetrics, where only typed families have more samples.
            _ => naming::stem(&self.name).unwrap_or(&self.name),
        };
        if labels.after_code.is_empty() {
            let head = labels.before_code.trim_end_matches(',');
            let registry = match head {
                "" => self.labels.trim_start_matches(','),
                _ => self.labels,
            };
            let (open, close) = match (head, registry) {
                ("", "") => ("", " "),
                _ => ("{", "} "),
            };
            return self.page.push(&[name, suffix, open, head, registry, close]);
        }
        self.page.push(&[name, suffix, "{", &labels.before_code]);
        for (name, value) in code {
            // Values of these labels need no escaping.
            self.page.push(&[name, "=\"", value, "\","]);
        }
        self.page.push(&[&labels.after_code, self.labels, "} "]);
    }

    /// Writes when the counter or histogram was zero.
    fn push_created(&mut self, labels: &Labels, code: &CodePairs, created: SystemTime) {
        let has_place = self.page.format == Format::OpenMetrics && !self.page.bare;
        if self.start_timestamps && has_place {
            self.push_series("_created", labels, code);
            let at = created.duration_since(UNIX_EPOCH).unwrap_or_default();
            let (seconds, millis) = (at.as_secs(), at.subsec_millis());
            // Writing to a string cannot fail.
            _ = writeln!(self.page.out, "{seconds}.{millis:03}");
        }
    }
}

impl Sink for PageSink<'_> {
    fn family(&mut self, family: Family) {
        self.family = family;
    }

    fn value(&mut self, labels: &Labels, code: &CodePairs, value: u64, created: SystemTime) {
        self.head();
        self.push_series("", labels, code);
        self.page.push_count(value);
        self.page.out.push('\n');
        if self.family.metric_type() == MetricType::COUNTER {
            self.push_created(labels, code, created);
        }
    }

    fn histogram(&mut self, labels: &Labels, code: &CodePairs, distribution: &Distribution<'_>) {
        self.head();
        let bounds = distribution.histogram.bounds();
        let exemplars = self.page.format == Format::OpenMetrics && !self.page.bare;
        let suffixes = match self.page.format {
            Format::Text => &bounds.text,
            Format::OpenMetrics => &bounds.openmetrics,
        };
        self.start_line("_bucket", labels, code);
        let mut count = 0;
        for (bucket, value) in distribution.buckets.iter().enumerate() {
            count += value;
            self.page.push(&[&self.line, &suffixes[bucket]]);
            self.page.push_count(count);
            if let Some(exemplar) = distribution.exemplar(self.family, bucket)
                && exemplars
            {
                openmetrics::push_exemplar(&mut self.page.out, &exemplar);
            }
            self.page.out.push('\n');
        }
        self.start_line("_sum", labels, code);
        // Writing to a string cannot fail.
        _ = writeln!(self.page.out, "{}}} {}", self.line, distribution.sum());
        self.start_line("_count", labels, code);
        self.page.push(&[&self.line, "} "]);
        self.page.push_count(count);
        self.page.out.push('\n');
        self.push_created(labels, code, distribution.series.created);
    }
}
