//! The exposition of a registry: registration and the page of a scrape.

use std::{
    collections::BTreeMap,
    fmt,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use prometheus::{
    Registry,
    proto::{MetricFamily, MetricType},
};

use super::{
    collector::{ActiveEncodes, StoreCollector},
    decoration::Decoration,
    foreign,
    messages::Metric,
    naming,
    negotiation::{self, Format},
    page::{Page, PageSink},
    protobuf::{self, MetricsSink},
    samples::Samples,
    split::{SplitFamilies, SplitFamily},
};
use crate::series::{Config, Family, Store};

/// A [`prometheus::Registry`] with its gRPC metrics: register servers and clients with it, and
/// encode the page of a scrape.
///
/// Clones share everything. Create one exposition per registry and keep it: a second one for the
/// same registry shows the series of the first, but cannot register the same names.
///
/// `Registry::gather` returns the gRPC metrics too, for other encoders: without exemplars, and
/// slower than [`encode`](Self::encode).
#[derive(Clone)]
pub struct Exposition {
    shared: Arc<Shared>,
}

struct Shared {
    registry: Registry,
    decoration: Decoration,
    stores: Mutex<Vec<Arc<Store>>>,
    encodes: Arc<ActiveEncodes>,
}

/// Why a store cannot be registered.
#[derive(Debug)]
pub(crate) enum RegisterError {
    /// A store with the same names has another value of this option.
    Conflict(&'static str),
    /// The registry adds a label with this name too.
    Label(String),
    Registry(prometheus::Error),
}

/// A store with its values at the time of the scrape.
struct Scraped {
    store: Arc<Store>,
    samples: Samples,
}

/// The families of one name: several collectors may have one each.
enum Part<'a> {
    Own(&'a Scraped, Family),
    Foreign(&'a MetricFamily),
    Split(SplitFamily),
}

// === impl Exposition ===

impl Exposition {
    /// Creates the exposition of `registry`, which may hold other metrics.
    pub fn new(registry: &Registry) -> Self {
        Self {
            shared: Arc::new(Shared {
                registry: registry.clone(),
                decoration: Decoration::of(registry),
                stores: Mutex::default(),
                encodes: Arc::default(),
            }),
        }
    }

    /// The registry. Register your own metrics here.
    pub fn registry(&self) -> &Registry {
        &self.shared.registry
    }

    /// Encodes all metrics of the registry, ordered by family name. Returns the content type and
    /// the body.
    ///
    /// `accept` is the request's `Accept` header. If it prefers OpenMetrics 1.0, the page has that
    /// format and exemplars; otherwise it is the text format 0.0.4. [`respond`](Self::respond) does
    /// this for a whole request, and compresses the page.
    pub fn encode(&self, accept: Option<&str>) -> (&'static str, String) {
        let format = negotiation::format(accept);
        (format.content_type(), self.page(format))
    }

    pub(crate) fn page(&self, format: Format) -> String {
        let (stores, foreign) = self.read();
        let mut families = self.by_name(&stores, &foreign);
        self.split(&mut families, format);
        let mut page = Page::new(format);
        for (name, parts) in families {
            for part in parts {
                self.write(&name, &part, &mut page);
            }
        }
        if format == Format::OpenMetrics {
            page.push(&["# EOF\n"]);
        }
        page.out
    }

    /// Replaces the families that cannot keep their type in this format.
    fn split(&self, families: &mut BTreeMap<String, Vec<Part<'_>>>, format: Format) {
        let types = families.iter().map(|(name, parts)| {
            let mut types = parts.iter().map(Part::metric_type);
            let first = types.next().flatten();
            let same = types.all(|other| other == first);
            (name.as_str(), first.filter(|_| same))
        });
        let split = naming::split(&types.collect::<Vec<_>>(), format);
        let split = families.keys().cloned().zip(split);
        let split: Vec<_> = split.filter(|(_, split)| *split).collect();
        let mut found = SplitFamilies::default();
        for (name, _) in split {
            for part in families.remove(&name).into_iter().flatten() {
                let mut lines = Page::bare(format);
                self.write(&name, &part, &mut lines);
                found.add(part.help(), &lines.out);
            }
        }
        for (name, family) in found.into_families() {
            families.insert(name, vec![Part::Split(family)]);
        }
    }

    fn write(&self, name: &str, part: &Part<'_>, page: &mut Page) {
        match part {
            Part::Own(own, family) => {
                let labels = &self.shared.decoration.text;
                let start = own.store.schema.config.start_timestamps;
                let mut sink = PageSink::new(page, name.to_owned(), labels, *family, start);
                own.samples.write(*family, &mut sink);
            }
            Part::Foreign(family) => foreign::write(name, family, page),
            Part::Split(family) => family.write(name, page),
        }
    }

    /// The families of all metrics as protobuf.
    pub(crate) fn protobuf(&self) -> Vec<u8> {
        let (stores, foreign) = self.read();
        let mut out = Vec::new();
        for (name, parts) in self.by_name(&stores, &foreign) {
            let (first, help) = match parts.first() {
                Some(part) => (part.metric_type(), part.help().to_owned()),
                None => continue,
            };
            let metrics: Vec<_> = parts.iter().flat_map(|part| self.metrics(part)).collect();
            if !metrics.is_empty() {
                protobuf::write(&name, &help, first, metrics, &mut out);
            }
        }
        out
    }

    fn metrics(&self, part: &Part<'_>) -> Vec<Metric> {
        match part {
            Part::Own(own, family) => {
                let mut sink = MetricsSink {
                    family: *family,
                    labels: &self.shared.decoration.labels,
                    start_timestamps: own.store.schema.config.start_timestamps,
                    metrics: Vec::new(),
                };
                own.samples.write(*family, &mut sink);
                sink.metrics
            }
            Part::Foreign(family) => protobuf::foreign(family),
            Part::Split(_) => Vec::new(),
        }
    }

    /// The values of all metrics.
    fn read(&self) -> (Vec<Scraped>, Vec<MetricFamily>) {
        let stores = self.stores().clone();
        let foreign = self.shared.encodes.gather_foreign(&self.shared.registry);
        (stores.into_iter().map(Scraped::new).collect(), foreign)
    }

    /// Returns the store for this configuration, and creates it if there is none.
    pub(crate) fn store(&self, config: Config) -> Result<Arc<Store>, RegisterError> {
        let mut stores = self.stores();
        let same = |store: &&Arc<Store>| store.schema.config.same_series(&config);
        if let Some(store) = stores.iter().find(same) {
            return match store.schema.config.difference(&config) {
                None => Ok(Arc::clone(store)),
                Some(option) => Err(RegisterError::Conflict(option)),
            };
        }
        if let Some(label) = self.shared.decoration.conflict(&config) {
            return Err(RegisterError::Label(label.to_owned()));
        }
        let store = Arc::new(Store::new(config));
        let collector = StoreCollector::new(&store, &self.shared.encodes)?;
        self.shared.registry.register(Box::new(collector))?;
        stores.push(Arc::clone(&store));
        Ok(store)
    }

    /// Not held while the registry gathers.
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
        for own in stores {
            for family in own.store.families() {
                let name = own.store.schema.config.family(family);
                let name = format!("{}{name}", self.shared.decoration.prefix);
                let part = Part::Own(own, family);
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

/// The exposition of a new registry.
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

// === impl RegisterError ===

impl From<prometheus::Error> for RegisterError {
    fn from(error: prometheus::Error) -> Self {
        Self::Registry(error)
    }
}

// === impl Part ===

impl Part<'_> {
    fn metric_type(&self) -> Option<MetricType> {
        match self {
            Self::Own(_, family) => Some(family.metric_type()),
            Self::Foreign(family) => Some(family.get_field_type()),
            Self::Split(_) => None,
        }
    }

    fn help(&self) -> &str {
        match self {
            Self::Own(_, family) => family.help(),
            Self::Foreign(family) => family.help(),
            Self::Split(_) => "",
        }
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
