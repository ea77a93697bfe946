//! The `Collector` over all series of one side of one registry, and the way back to it.

use std::{cell::RefCell, collections::HashMap, sync::Arc};

use prometheus::{
    Registry,
    core::{Collector, Desc},
    proto::{Gauge, Metric, MetricFamily, MetricType},
};

use crate::{
    CodeLabel, Error,
    families::Family,
    labels,
    store::{Config, Store},
};

thread_local! {
    /// Where our collectors leave their stores while this thread visits them; else `None`.
    ///
    /// A registry gives nothing back but what `Collector::collect` returns, so this is how a
    /// second registration finds the first, and how a scrape gets at exemplars.
    static VISIT: RefCell<Option<Vec<Arc<Store>>>> = const { RefCell::new(None) };
}

/// In place of our families during a visit: shows what the registry does to names and labels.
const PROBE: &str = "grpc_prometheus_probe_";

#[derive(Debug)]
struct StoreCollector {
    store: Arc<Store>,
    descs: Vec<Desc>,
}

/// What a registry holds.
pub(crate) struct Contents {
    pub(crate) stores: Vec<Decorated>,
    /// The families of all other collectors.
    pub(crate) others: Vec<MetricFamily>,
}

/// A store and what its registry adds to each name and label set.
pub(crate) struct Decorated {
    pub(crate) store: Arc<Store>,
    pub(crate) prefix: String,
    pub(crate) labels: Vec<(String, String)>,
}

/// The store for this configuration: the one in the registry, or a new one.
pub(crate) fn register(config: Config, registry: &Registry) -> Result<Arc<Store>, Error> {
    if let Some(store) = find(&config, registry)? {
        return Ok(store);
    }
    let store = Arc::new(Store::new(config));
    let collector = StoreCollector::new(&store)?;
    match registry.register(Box::new(collector)) {
        Ok(()) => check_labels(store, registry),
        // Perhaps another thread was faster.
        Err(error) => find(&store.plan.config, registry)?.ok_or(Error::Registry(error)),
    }
}

/// The registry adds labels too, and shows which only to what is registered.
fn check_labels(store: Arc<Store>, registry: &Registry) -> Result<Arc<Store>, Error> {
    let stores = visit(registry).stores.into_iter();
    let mut ours = stores.filter(|found| Arc::ptr_eq(&found.store, &store));
    let added = ours.next().map_or_else(Vec::new, |ours| ours.labels);
    let config = &store.plan.config;
    let Err(error) = labels::check_added(&added, &config.const_labels, &config.extra_labels) else {
        return Ok(store);
    };
    let collector = StoreCollector::new(&store)?;
    let gone = registry.unregister(Box::new(collector));
    Err(gone.map_or_else(Error::Registry, |()| error))
}

fn find(config: &Config, registry: &Registry) -> Result<Option<Arc<Store>>, Error> {
    let mut stores = visit(registry).stores.into_iter().map(|found| found.store);
    let same = |store: &Arc<Store>| store.plan.config.same_series(config);
    let Some(store) = stores.find(same) else {
        return Ok(None);
    };
    match store.plan.config.difference(config) {
        None => Ok(Some(store)),
        Some(option) => Err(Error::Conflict { option }),
    }
}

pub(crate) fn visit(registry: &Registry) -> Contents {
    // A collector may panic: the visit must end nevertheless.
    struct End;
    impl Drop for End {
        fn drop(&mut self) {
            VISIT.set(None);
        }
    }
    let end = End;
    VISIT.set(Some(Vec::new()));
    let families = registry.gather();
    let stores = VISIT.take().unwrap_or_default();
    drop(end);
    contents(stores, families)
}

fn contents(stores: Vec<Arc<Store>>, families: Vec<MetricFamily>) -> Contents {
    let (probes, others): (Vec<_>, _) = families
        .into_iter()
        .partition(|family| family.name().contains(PROBE));
    let stores = stores.into_iter().enumerate().map(|(index, store)| {
        let name = format!("{PROBE}{index}");
        let mut probes = probes.iter();
        let probe = probes.find_map(|family| Some((family, family.name().strip_suffix(&name)?)));
        let (prefix, labels) = probe.map_or_else(Default::default, |(family, prefix)| {
            let metrics = family.get_metric().iter();
            let labels = metrics.flat_map(|metric| metric.get_label());
            let pairs = labels.map(|pair| (pair.name().to_owned(), pair.value().to_owned()));
            (prefix.to_owned(), pairs.collect())
        });
        Decorated {
            store,
            prefix,
            labels,
        }
    });
    Contents {
        stores: stores.collect(),
        others,
    }
}

fn probe(index: usize) -> MetricFamily {
    let mut metric = Metric::default();
    metric.set_gauge(Gauge::default());
    let mut family = MetricFamily::default();
    family.set_name(format!("{PROBE}{index}"));
    family.set_field_type(MetricType::GAUGE);
    family.set_metric(vec![metric]);
    family
}

// === impl StoreCollector ===

impl StoreCollector {
    fn new(store: &Arc<Store>) -> Result<Self, Error> {
        let descs = store.families().map(|family| desc(store, family));
        Ok(Self {
            descs: descs.collect::<Result<_, _>>().map_err(Error::Registry)?,
            store: Arc::clone(store),
        })
    }
}

fn desc(store: &Store, family: Family) -> prometheus::Result<Desc> {
    let config = &store.plan.config;
    let has_code = match family {
        Family::Handled => true,
        Family::Handling => config.code_label != CodeLabel::None,
        _ => false,
    };
    let code = has_code.then_some(labels::CODE);
    let base = [labels::METHOD, labels::SERVICE, labels::TYPE];
    let extra = labels::names(&config.extra_labels);
    let mut names: Vec<String> = Vec::new();
    if !Family::CONNECTION.contains(&family) {
        names.extend(base.into_iter().chain(code).chain(extra).map(str::to_owned));
    }
    let constants: HashMap<_, _> = config.const_labels.iter().cloned().collect();
    Desc::new(
        config.family(family),
        family.help().to_owned(),
        names,
        constants,
    )
}

impl Collector for StoreCollector {
    fn desc(&self) -> Vec<&Desc> {
        self.descs.iter().collect()
    }

    fn collect(&self) -> Vec<MetricFamily> {
        let visit = VISIT.with_borrow_mut(|visit| {
            let stores = visit.as_mut()?;
            stores.push(Arc::clone(&self.store));
            Some(stores.len() - 1)
        });
        match visit {
            Some(index) => vec![probe(index)],
            None => self.store.gather(),
        }
    }
}
