//! The prefix and labels that a registry made by `Registry::new_custom` adds.
//!
//! A registry has no getters for them. So a probe family is registered, gathered once and
//! unregistered.

use std::{
    sync::atomic::{AtomicU64, Ordering},
    thread::{self, ThreadId},
};

use prometheus::{
    Registry,
    core::{Collector, Desc},
    proto::{Gauge, Metric, MetricFamily, MetricType},
};

use crate::series::{Config, labels};

const PROBE: &str = "grpc_prometheus_probe";

/// Fixed for the life of the registry.
#[derive(Debug, Default)]
pub(crate) struct Decoration {
    /// With a trailing underscore, or empty.
    pub(crate) prefix: String,
    pub(crate) labels: Vec<(String, String)>,
    /// The labels as printed, each preceded by a comma.
    pub(crate) text: String,
}

/// Returns its family on the thread that created it only, so other readers never see it.
#[derive(Clone, Debug)]
struct Probe {
    desc: Desc,
    thread: ThreadId,
}

// === impl Decoration ===

impl Decoration {
    pub(crate) fn of(registry: &Registry) -> Self {
        // Cannot fail: the number of a probe is unique.
        let families = Probe::new().and_then(|probe| {
            registry.register(Box::new(probe.clone()))?;
            let families = registry.gather();
            registry.unregister(Box::new(probe))?;
            Ok(families)
        });
        let families = families.unwrap_or_default();
        let mut families = families.iter();
        families.find_map(Self::from_probe).unwrap_or_default()
    }

    fn from_probe(family: &MetricFamily) -> Option<Self> {
        let prefix = family.name().strip_suffix(PROBE)?.to_owned();
        let metrics = family.get_metric().iter();
        let labels = metrics.flat_map(|metric| metric.get_label());
        let labels = labels.map(|pair| (pair.name().to_owned(), pair.value().to_owned()));
        let labels: Vec<_> = labels.collect();
        let mut text = String::new();
        for (name, value) in &labels {
            text.push(',');
            labels::push_pair(&mut text, name, value);
        }
        Some(Self {
            prefix,
            labels,
            text,
        })
    }

    /// The first label that both the registry and the configuration would add.
    pub(crate) fn conflict(&self, config: &Config) -> Option<&str> {
        let mut added = self.labels.iter().map(|(name, _)| name.as_str());
        added.find(|name| {
            labels::reserved(config.conventions).any(|reserved| reserved == *name)
                || config.const_labels.iter().any(|(known, _)| known == name)
                || labels::names(&config.extra_labels).any(|known| known == *name)
        })
    }
}

// === impl Probe ===

impl Probe {
    fn new() -> prometheus::Result<Self> {
        static LAST: AtomicU64 = AtomicU64::new(0);
        // Other versions of this crate have their own counter.
        let version = env!("CARGO_PKG_VERSION");
        let number = LAST.fetch_add(1, Ordering::Relaxed);
        let id = ("id".to_owned(), format!("{version} {number}"));
        let help = "Shows what a registry adds to names and labels.".to_owned();
        Ok(Self {
            desc: Desc::new(PROBE.to_owned(), help, Vec::new(), [id].into())?,
            thread: thread::current().id(),
        })
    }
}

impl Collector for Probe {
    fn desc(&self) -> Vec<&Desc> {
        vec![&self.desc]
    }

    fn collect(&self) -> Vec<MetricFamily> {
        if thread::current().id() != self.thread {
            return Vec::new();
        }
        let mut metric = Metric::default();
        metric.set_gauge(Gauge::default());
        let mut family = MetricFamily::default();
        family.set_name(PROBE.to_owned());
        family.set_field_type(MetricType::GAUGE);
        family.set_metric(vec![metric]);
        vec![family]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_registrys_prefix_and_labels_are_found_and_nothing_is_left_behind() {
        let labels = [("host".to_owned(), "h\"1".to_owned())].into();
        let registry = Registry::new_custom(Some("pre".into()), Some(labels)).unwrap();
        for _ in 0..2 {
            let decoration = Decoration::of(&registry);
            assert_eq!(decoration.prefix, "pre_");
            assert_eq!(decoration.text, ",host=\"h\\\"1\"");
            assert!(registry.gather().is_empty());
        }
    }

    #[test]
    fn a_plain_registry_adds_nothing() {
        let decoration = Decoration::of(&Registry::new());
        assert_eq!(
            (decoration.prefix.as_str(), decoration.text.as_str()),
            ("", "")
        );
    }

    #[test]
    fn other_threads_see_no_probe() {
        let registry = Registry::new();
        let probe = Probe::new().unwrap();
        registry.register(Box::new(probe)).unwrap();
        assert_eq!(registry.gather().len(), 1);
        let other = thread::scope(|scope| scope.spawn(|| registry.gather().len()).join());
        assert_eq!(other.unwrap(), 0);
    }
}
