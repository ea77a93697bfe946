//! The `Collector` over all series of one side of one registry.

use std::{cell::RefCell, collections::HashMap, sync::Arc};

use prometheus::{
    Registry,
    core::{Collector, Desc},
    proto::MetricFamily,
};

use crate::{
    Error,
    store::{Config, Store},
};

thread_local! {
    /// Filled by our collectors while this thread looks for them with `Registry::gather`, the
    /// only way into a registry; `None` at all other times.
    static FOUND: RefCell<Option<Vec<Arc<Store>>>> = const { RefCell::new(None) };
}

#[derive(Debug)]
struct StoreCollector {
    store: Arc<Store>,
    descs: Vec<Desc>,
}

/// The store for this configuration: the one in the registry, or a new one.
pub(crate) fn register(config: Config, registry: &Registry) -> Result<Arc<Store>, Error> {
    if let Some(store) = find(&config, registry)? {
        return Ok(store);
    }
    let store = Arc::new(Store::new(config));
    let collector = StoreCollector::new(&store)?;
    match registry.register(Box::new(collector)) {
        Ok(()) => Ok(store),
        // Perhaps another thread was faster.
        Err(error) => find(&store.plan.config, registry)?.ok_or(Error::Registry(error)),
    }
}

fn find(config: &Config, registry: &Registry) -> Result<Option<Arc<Store>>, Error> {
    let stores = stores(registry);
    let same = |store: &Arc<Store>| store.plan.config.same_series(config);
    let Some(store) = stores.into_iter().find(same) else {
        return Ok(None);
    };
    match store.plan.config.difference(config) {
        None => Ok(Some(store)),
        Some(option) => Err(Error::Conflict { option }),
    }
}

fn stores(registry: &Registry) -> Vec<Arc<Store>> {
    FOUND.set(Some(Vec::new()));
    registry.gather();
    FOUND.take().unwrap_or_default()
}

// === impl StoreCollector ===

impl StoreCollector {
    fn new(store: &Arc<Store>) -> Result<Self, Error> {
        let descs = store.families().into_iter().map(|(name, help, labels)| {
            let config = &store.plan.config;
            let constants: HashMap<_, _> = config.const_labels.iter().cloned().collect();
            Desc::new(name, help.to_owned(), labels, constants).map_err(Error::Registry)
        });
        Ok(Self {
            descs: descs.collect::<Result<_, _>>()?,
            store: Arc::clone(store),
        })
    }
}

impl Collector for StoreCollector {
    fn desc(&self) -> Vec<&Desc> {
        self.descs.iter().collect()
    }

    fn collect(&self) -> Vec<MetricFamily> {
        let searching = FOUND.with_borrow_mut(|found| {
            let stores = found.as_mut();
            stores.map(|stores| stores.push(Arc::clone(&self.store)))
        });
        if searching.is_some() {
            return Vec::new();
        }
        self.store.collect()
    }
}
