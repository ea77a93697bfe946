//! Visits all samples of a store, for every format.

use std::sync::Arc;

use prometheus::proto::MetricType;

use crate::series::{
    CODES, CodeLabel, Exemplar, Family, Histograms, Method, Reading, Schema, Series, Side, Store,
    ZeroInit, labels::Labels,
};

/// Receives samples, family by family.
pub(crate) trait Sink {
    /// Starts a family. The samples that follow belong to it.
    fn family(&mut self, family: Family);
    fn value(&mut self, labels: &Labels, code: Option<&str>, value: u64);
    fn histogram(&mut self, labels: &Labels, code: Option<&str>, distribution: &Distribution<'_>);
}

/// The values of one histogram of a series.
pub(crate) struct Distribution<'a> {
    pub(crate) histogram: &'a Histograms,
    pub(crate) sum: u64,
    /// Not cumulative.
    pub(crate) buckets: &'a [u64],
    pub(crate) series: &'a Series,
    pub(crate) index: usize,
}

/// The values of all series, each read once, so that families are consistent.
pub(crate) struct Samples {
    schema: Arc<Schema>,
    series: Vec<Sample>,
    connections: Option<(u64, u64)>,
    no_labels: Labels,
}

struct Sample {
    method: &'static Method,
    combination: usize,
    reading: Reading,
}

// === impl Store ===

impl Store {
    /// The families of this store, ordered by name.
    pub(crate) fn families(&self) -> impl Iterator<Item = Family> {
        let server = self.schema.config.side == Side::Server;
        let connections = Family::CONNECTION.into_iter().filter(move |_| server);
        let exists = |family: &Family| {
            family.metric_type() != MetricType::HISTOGRAM
                || self.schema.histogram(*family).is_some()
        };
        connections.chain(Family::METHOD.into_iter().filter(exists))
    }

    /// Reads all series.
    pub(crate) fn samples(&self) -> Samples {
        let zero_init = self.schema.config.zero_init != ZeroInit::None;
        let mut series = Vec::new();
        // Blocks the registration of new methods, but no calls of known ones.
        for method in self.methods().values() {
            let zero = zero_init && method.spec.declared;
            for (combination, existing) in method.existing() {
                let reading = existing.read();
                if zero || reading.started() > 0 {
                    series.push(Sample {
                        method,
                        combination,
                        reading,
                    });
                }
            }
        }
        Samples {
            schema: Arc::clone(&self.schema),
            series,
            connections: self.connections.get().map(|c| c.read()),
            no_labels: Labels::new(self.schema.config.const_labels.clone()),
        }
    }
}

// === impl Samples ===

impl Samples {
    pub(crate) fn write(&self, family: Family, sink: &mut impl Sink) {
        sink.family(family);
        if Family::CONNECTION.contains(&family) {
            return self.write_connections(family, sink);
        }
        for sample in &self.series {
            let labels = &sample.series().labels;
            let reading = &sample.reading;
            match family {
                Family::Started => sink.value(labels, None, reading.started()),
                Family::Received => sink.value(labels, None, reading.received()),
                Family::Sent => sink.value(labels, None, reading.sent()),
                Family::InFlight => sink.value(labels, None, reading.in_flight()),
                Family::Handled => self.write_codes(sample, sink),
                _ => self.write_histograms(family, sample, sink),
            }
        }
    }

    fn write_codes(&self, sample: &Sample, sink: &mut impl Sink) {
        let config = &self.schema.config;
        let labels = &sample.series().labels;
        for code in 0..CODES {
            let value = sample.reading.handled(code);
            if value > 0 || self.has_zero(sample, code) {
                sink.value(labels, Some(config.style.codes()[code]), value);
            }
        }
    }

    fn has_zero(&self, sample: &Sample, code: usize) -> bool {
        sample.method.spec.declared
            && match self.schema.config.zero_init {
                ZeroInit::All => true,
                ZeroInit::OkOnly => code == 0,
                ZeroInit::None => false,
            }
    }

    fn write_histograms(&self, family: Family, sample: &Sample, sink: &mut impl Sink) {
        let Some(histogram) = self.schema.histogram(family) else {
            return;
        };
        let config = &self.schema.config;
        let series = sample.series();
        for index in 0..histogram.count() {
            let (sum, buckets) = sample.reading.histogram(histogram, index);
            let distribution = Distribution {
                histogram,
                sum,
                buckets,
                series,
                index,
            };
            let code = match family {
                Family::Handling => config.code_label.value(config.style, index),
                _ => None,
            };
            let zero = match config.code_label {
                CodeLabel::None => true,
                CodeLabel::OkError => self.has_zero(sample, index),
                // 17 empty histograms per method would be nine tenths of the page.
                CodeLabel::Full => index == 0 && self.has_zero(sample, index),
            };
            if zero || buckets.iter().any(|count| *count > 0) {
                sink.histogram(&series.labels, code, &distribution);
            }
        }
    }

    fn write_connections(&self, family: Family, sink: &mut impl Sink) {
        let Some((opened, closed)) = self.connections else {
            return;
        };
        let value = match family {
            Family::ConnectionsOpened => opened,
            Family::ConnectionsClosed => closed,
            _ => opened - closed,
        };
        sink.value(&self.no_labels, None, value);
    }
}

// === impl Sample ===

impl Sample {
    fn series(&self) -> &Series {
        self.method.series(self.combination)
    }
}

// === impl Distribution ===

impl Distribution<'_> {
    /// Only the handling-time histogram has exemplars.
    pub(crate) fn exemplar(&self, family: Family, bucket: usize) -> Option<Exemplar> {
        if family != Family::Handling {
            return None;
        }
        self.series.exemplar(self.histogram, self.index, bucket)
    }

    /// In seconds or bytes.
    pub(crate) fn sum(&self) -> f64 {
        self.sum as f64 / self.histogram.bounds().scale
    }
}
