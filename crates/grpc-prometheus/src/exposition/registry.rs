//! A registry with its gRPC metrics: takes registrations and encodes the page of a scrape.

use std::{
    collections::BTreeMap,
    fmt,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use prometheus::{Registry, proto::MetricFamily};

use super::{
    collector::{Gathering, StoreCollector},
    decoration::Decoration,
    foreign, openmetrics,
    page::{Format, Page, PageSink},
    samples::Samples,
};
use crate::series::{Config, Family, Store};

const TEXT: &str = "text/plain; version=0.0.4; charset=utf-8";

/// A [`prometheus::Registry`] and the gRPC metrics that are registered in it.
///
/// Servers and clients are registered here, and the page of a scrape comes from here. A handle:
/// clones share everything. Make one for each registry and keep it: a second one for the same
/// registry cannot take registrations under the names of the first.
///
/// The metrics are in the registry itself too: `Registry::gather`, and any encoder of what it
/// returns, shows them, without exemplars and more slowly than [`encode`](Self::encode).
#[derive(Clone)]
pub struct Exposition {
    shared: Arc<Shared>,
}

struct Shared {
    registry: Registry,
    decoration: Decoration,
    stores: Mutex<Vec<Arc<Store>>>,
    gathering: Arc<Gathering>,
}

/// Why a registration is not possible.
#[derive(Debug)]
pub(crate) enum Refusal {
    /// There are metrics of these names with another value of this option.
    Conflict(&'static str),
    /// The registry adds this label to all metrics.
    Label(String),
    Registry(prometheus::Error),
}

/// One store with its numbers at the time of the scrape.
struct Scraped {
    store: Arc<Store>,
    samples: Samples,
}

/// Several collectors may have families of one name.
enum Part<'a> {
    Ours(&'a Scraped, Family),
    Foreign(&'a MetricFamily),
}

// === impl Exposition ===

impl Exposition {
    /// Exposes the metrics of `registry`, whatever else is registered there.
    pub fn new(registry: &Registry) -> Self {
        Self {
            shared: Arc::new(Shared {
                registry: registry.clone(),
                decoration: Decoration::of(registry),
                stores: Mutex::default(),
                gathering: Arc::default(),
            }),
        }
    }

    /// The registry, for metrics of your own.
    pub fn registry(&self) -> &Registry {
        &self.shared.registry
    }

    /// The page of a scrape, with everything that is in the registry, ordered by family name.
    /// Returns the content type and the body.
    ///
    /// `accept` is the `Accept` header of the request. The format is OpenMetrics 1.0, with
    /// exemplars, if the header prefers it, else the text format 0.0.4.
    pub fn encode(&self, accept: Option<&str>) -> (&'static str, String) {
        let (format, content_type) = match accept {
            Some(accept) if openmetrics::wanted(accept) => {
                (Format::OpenMetrics, openmetrics::CONTENT_TYPE)
            }
            _ => (Format::Text, TEXT),
        };
        let stores = self.stores().clone();
        let foreign = self.shared.gathering.foreign(&self.shared.registry);
        let stores: Vec<_> = stores.into_iter().map(Scraped::new).collect();
        let mut page = Page::new(format);
        for (name, parts) in self.by_name(&stores, &foreign) {
            for part in parts {
                match part {
                    Part::Ours(ours, family) => {
                        let labels = &self.shared.decoration.text;
                        let mut sink = PageSink::new(&mut page, name.clone(), labels, family);
                        ours.samples.show(family, &mut sink);
                    }
                    Part::Foreign(family) => foreign::write(&name, family, &mut page),
                }
            }
        }
        if format == Format::OpenMetrics {
            page.push(&["# EOF\n"]);
        }
        (content_type, page.out)
    }

    /// The store for this configuration: one that is there, or a new one.
    pub(crate) fn store(&self, config: Config) -> Result<Arc<Store>, Refusal> {
        let mut stores = self.stores();
        let same = |store: &&Arc<Store>| store.plan.config.same_series(&config);
        if let Some(store) = stores.iter().find(same) {
            return match store.plan.config.difference(&config) {
                None => Ok(Arc::clone(store)),
                Some(option) => Err(Refusal::Conflict(option)),
            };
        }
        if let Some(label) = self.shared.decoration.conflict(&config) {
            return Err(Refusal::Label(label.to_owned()));
        }
        let store = Arc::new(Store::new(config));
        let collector = StoreCollector::new(&store, &self.shared.gathering)?;
        self.shared.registry.register(Box::new(collector))?;
        stores.push(Arc::clone(&store));
        Ok(store)
    }

    /// Never locked while the registry gathers.
    fn stores(&self) -> MutexGuard<'_, Vec<Arc<Store>>> {
        let stores = self.shared.stores.lock();
        stores.unwrap_or_else(PoisonError::into_inner)
    }

    fn by_name<'a>(
        &self,
        stores: &'a [Scraped],
        foreign: &'a [MetricFamily],
    ) -> BTreeMap<String, Vec<Part<'a>>> {
        let mut names: BTreeMap<String, Vec<Part<'a>>> = BTreeMap::new();
        for ours in stores {
            for family in ours.store.families() {
                let name = ours.store.plan.config.family(family);
                let name = format!("{}{name}", self.shared.decoration.prefix);
                let part = Part::Ours(ours, family);
                names.entry(name).or_default().push(part);
            }
        }
        for family in foreign {
            let name = family.name().to_owned();
            names.entry(name).or_default().push(Part::Foreign(family));
        }
        names
    }
}

/// Of a new registry.
impl Default for Exposition {
    fn default() -> Self {
        Self::new(&Registry::new())
    }
}

impl fmt::Debug for Exposition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Exposition")
            .field("registry", &self.shared.registry)
            .finish_non_exhaustive()
    }
}

// === impl Refusal ===

impl From<prometheus::Error> for Refusal {
    fn from(error: prometheus::Error) -> Self {
        Self::Registry(error)
    }
}

// === impl Scraped ===

impl Scraped {
    fn new(store: Arc<Store>) -> Self {
        Self {
            samples: store.samples(),
            store,
        }
    }
}
