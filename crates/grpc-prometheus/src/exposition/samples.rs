//! Walks over everything that a scrape shows, once for all formats.

use std::sync::Arc;

use prometheus::proto::MetricType;

use crate::series::{
    CODES, Exemplar, Family, Histogram, Method, Plan, Reading, Series, Side, Store, ZeroInit,
    labels::Labels,
};

/// Takes what a scrape shows, family by family.
pub(crate) trait Sink {
    /// The samples that follow are of this family.
    fn family(&mut self, family: Family);
    fn value(&mut self, labels: &Labels, code: Option<&str>, value: u64);
    fn histogram(&mut self, labels: &Labels, code: Option<&str>, distribution: &Distribution<'_>);
}

/// One histogram of one series.
pub(crate) struct Distribution<'a> {
    pub(crate) histogram: &'a Histogram,
    pub(crate) sum: u64,
    /// Not cumulated.
    pub(crate) buckets: &'a [u64],
    pub(crate) series: &'a Series,
    pub(crate) slot: usize,
}

/// The numbers of all series, each read once so that all families agree.
pub(crate) struct Samples {
    plan: Arc<Plan>,
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
    /// The families that there are, by name.
    pub(crate) fn families(&self) -> impl Iterator<Item = Family> {
        let server = self.plan.config.side == Side::Server;
        let connections = Family::CONNECTION.into_iter().filter(move |_| server);
        let exists = |family: &Family| {
            family.metric_type() != MetricType::HISTOGRAM || self.plan.histogram(*family).is_some()
        };
        connections.chain(Family::METHOD.into_iter().filter(exists))
    }

    /// The numbers of this moment.
    pub(crate) fn samples(&self) -> Samples {
        let zero_init = self.plan.config.zero_init != ZeroInit::None;
        let mut series = Vec::new();
        // A new method has to wait for this lock, the calls of those that are there do not.
        for method in self.methods().values() {
            let zero = zero_init && method.spec.listed;
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
            plan: Arc::clone(&self.plan),
            series,
            connections: self.connections.get().map(|c| c.read()),
            no_labels: Labels::new(self.plan.config.const_labels.clone()),
        }
    }
}

// === impl Samples ===

impl Samples {
    pub(crate) fn show(&self, family: Family, sink: &mut impl Sink) {
        sink.family(family);
        if Family::CONNECTION.contains(&family) {
            return self.show_connections(family, sink);
        }
        for sample in &self.series {
            let labels = &sample.series().labels;
            let reading = &sample.reading;
            match family {
                Family::Started => sink.value(labels, None, reading.started()),
                Family::Received => sink.value(labels, None, reading.received()),
                Family::Sent => sink.value(labels, None, reading.sent()),
                Family::InFlight => sink.value(labels, None, reading.in_flight()),
                Family::Handled => self.show_codes(sample, sink),
                _ => self.show_histograms(family, sample, sink),
            }
        }
    }

    fn show_codes(&self, sample: &Sample, sink: &mut impl Sink) {
        let config = &self.plan.config;
        let labels = &sample.series().labels;
        for code in 0..CODES {
            let value = sample.reading.handled(code);
            if value > 0 || self.shows_zero(sample, code) {
                sink.value(labels, Some(config.style.codes()[code]), value);
            }
        }
    }

    fn shows_zero(&self, sample: &Sample, code: usize) -> bool {
        sample.method.spec.listed
            && match self.plan.config.zero_init {
                ZeroInit::All => true,
                ZeroInit::OkOnly => code == 0,
                ZeroInit::None => false,
            }
    }

    fn show_histograms(&self, family: Family, sample: &Sample, sink: &mut impl Sink) {
        let Some(histogram) = self.plan.histogram(family) else {
            return;
        };
        let config = &self.plan.config;
        let series = sample.series();
        for slot in 0..histogram.slots() {
            let (sum, buckets) = sample.reading.histogram(histogram, slot);
            let distribution = Distribution {
                histogram,
                sum,
                buckets,
                series,
                slot,
            };
            let code = match family {
                Family::Handling => config.code_label.value(config.style, slot),
                _ => None,
            };
            let zero = code.is_none() || self.shows_zero(sample, slot);
            if zero || buckets.iter().any(|count| *count > 0) {
                sink.histogram(&series.labels, code, &distribution);
            }
        }
    }

    fn show_connections(&self, family: Family, sink: &mut impl Sink) {
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
    /// Of the handling-time histogram; the others have none.
    pub(crate) fn exemplar(&self, family: Family, bucket: usize) -> Option<Exemplar> {
        if family != Family::Handling {
            return None;
        }
        self.series.exemplar(self.histogram, self.slot, bucket)
    }

    /// Seconds or bytes.
    pub(crate) fn sum(&self) -> f64 {
        self.sum as f64 / self.histogram.bounds().scale
    }
}
