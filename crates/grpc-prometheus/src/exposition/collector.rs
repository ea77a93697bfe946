//! The collector of a store in its registry.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    thread::{self, ThreadId},
};

use prometheus::{
    Registry,
    core::{Collector, Desc},
    proto::MetricFamily,
};

use crate::series::{CodeLabel, Family, Store, labels};

/// Collects a store as metric families, except for its own exposition.
#[derive(Debug)]
pub(crate) struct StoreCollector {
    store: Arc<Store>,
    descs: Vec<Desc>,
    encodes: Arc<ActiveEncodes>,
}

/// The threads on which an exposition gathers its registry. There its own collectors return
/// nothing, because it writes its own series thirty times faster than metric families.
#[derive(Debug, Default)]
pub(crate) struct ActiveEncodes {
    threads: Mutex<Vec<ThreadId>>,
}

// === impl StoreCollector ===

impl StoreCollector {
    pub(crate) fn new(
        store: &Arc<Store>,
        encodes: &Arc<ActiveEncodes>,
    ) -> prometheus::Result<Self> {
        let descs = store.families().map(|family| desc(store, family));
        Ok(Self {
            descs: descs.collect::<Result<_, _>>()?,
            store: Arc::clone(store),
            encodes: Arc::clone(encodes),
        })
    }
}

impl Collector for StoreCollector {
    fn desc(&self) -> Vec<&Desc> {
        self.descs.iter().collect()
    }

    fn collect(&self) -> Vec<MetricFamily> {
        match self.encodes.is_on_this_thread() {
            true => Vec::new(),
            false => self.store.gather(),
        }
    }
}

fn desc(store: &Store, family: Family) -> prometheus::Result<Desc> {
    let config = &store.schema.config;
    let has_code = match family {
        Family::Handled => true,
        Family::Handling => config.code_label != CodeLabel::None,
        _ => false,
    };
    let code = has_code.then_some(labels::CODE);
    let base = match family {
        Family::CallDuration => [
            labels::FULL_METHOD,
            labels::SYSTEM_NAME,
            labels::STATUS_CODE,
        ],
        _ => [labels::METHOD, labels::SERVICE, labels::TYPE],
    };
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

// === impl ActiveEncodes ===

impl ActiveEncodes {
    /// The families of all other collectors.
    pub(crate) fn gather_foreign(&self, registry: &Registry) -> Vec<MetricFamily> {
        /// Runs also if a collector panics.
        struct End<'a>(&'a ActiveEncodes);

        impl Drop for End<'_> {
            fn drop(&mut self) {
                let mut threads = self.0.threads();
                let thread = thread::current().id();
                if let Some(index) = threads.iter().position(|known| *known == thread) {
                    threads.swap_remove(index);
                }
            }
        }

        self.threads().push(thread::current().id());
        let _end = End(self);
        registry.gather()
    }

    /// A registry calls its collectors on the thread that gathers.
    fn is_on_this_thread(&self) -> bool {
        self.threads().contains(&thread::current().id())
    }

    fn threads(&self) -> MutexGuard<'_, Vec<ThreadId>> {
        self.threads.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
