//! Visits all samples of a store, for every format.

use std::{borrow::Cow, ops::Range, sync::Arc, time::SystemTime};

use prometheus::proto::MetricType;

use super::groups::{self, Group, Zero};
use crate::series::{
    CODES, Exemplar, Family, Histograms, Method, NativeBuckets, Reading, Schema, Series, Side,
    Store, ZeroInit,
    labels::{self, CodePairs, Labels},
};

/// Receives samples, family by family.
pub(crate) trait Sink {
    /// Starts a family. The samples that follow belong to it.
    fn family(&mut self, family: Family);
    /// The counter was zero at `created`.
    fn value(&mut self, labels: &Labels, code: &CodePairs, value: u64, created: SystemTime);
    fn histogram(&mut self, labels: &Labels, code: &CodePairs, distribution: &Distribution<'_>);
}

/// The values of one histogram of a series.
pub(crate) struct Distribution<'a> {
    pub(crate) histogram: &'a Histograms,
    pub(crate) sum: u64,
    /// Not cumulative.
    pub(crate) buckets: Cow<'a, [u64]>,
    cells: &'a [u64],
    pub(crate) series: &'a Series,
    /// The histograms of the series that it sums up.
    indices: Range<usize>,
}

/// The values of all series, each read once, so that families are consistent.
pub(crate) struct Samples {
    schema: Arc<Schema>,
    series: Vec<Sample>,
    connections: Option<(u64, u64, SystemTime)>,
    no_labels: Labels,
}

struct Sample {
    method: &'static Method,
    combination: usize,
    /// If the stable conventions are shown.
    stable_labels: Option<Labels>,
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
        let stable = self.schema.config.conventions.has_stable();
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
                        stable_labels: stable.then(|| method.stable_labels(combination)),
                        reading,
                    });
                }
            }
        }
        Samples {
            schema: Arc::clone(&self.schema),
            series,
            connections: self.connections.get().map(|c| {
                let (opened, closed) = c.read();
                (opened, closed, c.created)
            }),
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
        let groups = groups::of(family, &self.schema);
        for sample in &self.series {
            let labels = &sample.series().labels;
            let (reading, created) = (&sample.reading, sample.series().created);
            let mut value = |value| sink.value(labels, &[], value, created);
            match family {
                Family::Started => value(reading.started()),
                Family::Received => value(reading.received()),
                Family::Sent => value(reading.sent()),
                Family::InFlight => value(reading.in_flight()),
                Family::Handled => self.write_codes(sample, sink),
                _ => self.write_histograms(family, &groups, sample, sink),
            }
        }
    }

    fn write_codes(&self, sample: &Sample, sink: &mut impl Sink) {
        let config = &self.schema.config;
        let series_labels = &sample.series().labels;
        for code in 0..CODES {
            let value = sample.reading.handled(code);
            if value > 0 || self.has_zero(sample, code) {
                let code = [(labels::CODE, config.style.codes()[code])];
                sink.value(series_labels, &code, value, sample.series().created);
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

    fn write_histograms(
        &self,
        family: Family,
        groups: &[Group],
        sample: &Sample,
        sink: &mut impl Sink,
    ) {
        let Some(histogram) = self.schema.histogram(family) else {
            return;
        };
        let labels = match (&sample.stable_labels, family) {
            (Some(stable), Family::CallDuration) => stable,
            _ => &sample.series().labels,
        };
        for group in groups {
            let (sum, cells) = sample.reading.histogram(histogram, group.indices.clone());
            let counted = cells.iter().any(|count| *count > 0);
            let zero = match group.zero {
                Zero::Always => true,
                Zero::Like(code) => self.has_zero(sample, code),
                Zero::Never => false,
            };
            if !counted && !zero {
                continue;
            }
            let distribution = Distribution {
                histogram,
                sum,
                buckets: histogram.buckets_of(Cow::Borrowed(&cells)),
                cells: &cells,
                series: sample.series(),
                indices: group.indices.clone(),
            };
            sink.histogram(labels, &group.labels, &distribution);
        }
    }

    fn write_connections(&self, family: Family, sink: &mut impl Sink) {
        let Some((opened, closed, created)) = self.connections else {
            return;
        };
        let value = match family {
            Family::ConnectionsOpened => opened,
            Family::ConnectionsClosed => closed,
            _ => opened - closed,
        };
        sink.value(&self.no_labels, &[], value, created);
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
        if ![Family::Handling, Family::CallDuration].contains(&family) {
            return None;
        }
        let exemplars = self.indices.clone().filter_map(|index| {
            let series = self.series;
            series.exemplar(self.histogram, index, bucket)
        });
        exemplars.max_by_key(|exemplar| exemplar.at)
    }

    pub(crate) fn native(&self) -> Option<NativeBuckets> {
        self.histogram.native_of(self.cells)
    }

    /// In seconds or bytes.
    pub(crate) fn sum(&self) -> f64 {
        self.sum as f64 / self.histogram.bounds().scale
    }
}
