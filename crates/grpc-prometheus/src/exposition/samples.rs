//! Visits all samples of a store, for every format.

use std::{borrow::Cow, ops::Range, sync::Arc, time::SystemTime};

use prometheus::proto::MetricType;

use crate::series::{
    CODES, CodeLabel, Exemplar, Family, Histograms, LabelStyle, Method, NativeBuckets, Reading,
    Schema, Series, Side, Store, ZeroInit,
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
    pub(crate) native: Option<NativeBuckets>,
    pub(crate) series: &'a Series,
    /// The histograms of the series that it sums up.
    indices: Range<usize>,
}

/// One histogram of a family and series.
struct Group {
    /// The histograms of the series, by code, that it sums up.
    indices: Range<usize>,
    labels: Vec<(&'static str, &'static str)>,
    zero: Zero,
}

/// When a histogram without calls exists.
#[derive(Clone, Copy)]
enum Zero {
    /// With its series.
    Always,
    /// If the counter of this code does.
    Like(usize),
    Never,
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

// === impl Group ===

impl Group {
    fn of(indices: Range<usize>) -> Self {
        Self {
            indices,
            labels: Vec::new(),
            zero: Zero::Always,
        }
    }

    fn ok_or_error((indices, code): (Range<usize>, usize)) -> Self {
        Self {
            indices,
            labels: vec![(labels::CODE, ["OK", "error"][code])],
            zero: Zero::Like(code),
        }
    }
}

/// The labels of a code by OpenTelemetry's stable conventions. On a server some codes are no errors:
/// they say what the caller did.
fn stable_code(side: Side, code: usize) -> Vec<(&'static str, &'static str)> {
    /// `UNKNOWN`, `DEADLINE_EXCEEDED`, `UNIMPLEMENTED`, `INTERNAL`, `UNAVAILABLE`, `DATA_LOSS`.
    const SERVER_ERRORS: [usize; 6] = [2, 4, 12, 13, 14, 15];

    let name = LabelStyle::Python.codes()[code];
    let is_error = match side {
        Side::Server => SERVER_ERRORS.contains(&code),
        Side::Client => code != 0,
    };
    let error = is_error.then_some((labels::ERROR_TYPE, name));
    error
        .into_iter()
        .chain([(labels::STATUS_CODE, name)])
        .collect()
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
            let (reading, created) = (&sample.reading, sample.series().created);
            let mut value = |value| sink.value(labels, &[], value, created);
            match family {
                Family::Started => value(reading.started()),
                Family::Received => value(reading.received()),
                Family::Sent => value(reading.sent()),
                Family::InFlight => value(reading.in_flight()),
                Family::Handled => self.write_codes(sample, sink),
                _ => self.write_histograms(family, sample, sink),
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

    fn write_histograms(&self, family: Family, sample: &Sample, sink: &mut impl Sink) {
        let Some(histogram) = self.schema.histogram(family) else {
            return;
        };
        let labels = match (&sample.stable_labels, family) {
            (Some(stable), Family::CallDuration) => stable,
            _ => &sample.series().labels,
        };
        for group in self.groups(family) {
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
                native: histogram.native_of(&cells),
                buckets: histogram.buckets_of(cells),
                series: sample.series(),
                indices: group.indices,
            };
            sink.histogram(labels, &group.labels, &distribution);
        }
    }

    /// The histograms that a family shows of each series.
    fn groups(&self, family: Family) -> Vec<Group> {
        let (config, recorded) = (&self.schema.config, self.schema.layout.code_label);
        let shown = match family {
            Family::Handling => config.code_label,
            Family::CallDuration => CodeLabel::Full,
            _ => return vec![Group::of(0..1)],
        };
        let all = recorded.histograms();
        match shown {
            CodeLabel::None => vec![Group::of(0..all)],
            CodeLabel::OkError => [(0..1, 0), (1..all, 1)].map(Group::ok_or_error).into(),
            CodeLabel::Full => (0..all)
                .map(|code| Group {
                    indices: code..code + 1,
                    labels: match family {
                        Family::CallDuration => stable_code(config.side, code),
                        _ => vec![(labels::CODE, config.style.codes()[code])],
                    },
                    // 17 empty histograms per method would be nine tenths of the page.
                    zero: if code == 0 {
                        Zero::Like(0)
                    } else {
                        Zero::Never
                    },
                })
                .collect(),
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

    /// In seconds or bytes.
    pub(crate) fn sum(&self) -> f64 {
        self.sum as f64 / self.histogram.bounds().scale
    }
}
