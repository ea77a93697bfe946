//! Maps request paths to the series of methods, and all other paths to `unknown`.

use std::{
    collections::HashMap,
    fmt,
    sync::{Arc, OnceLock},
};

use http::Request;

use super::{
    cells::Series,
    config::ZeroInit,
    labels::{self, Labels},
    learned::LearnedMethods,
    paths::PathMap,
    spelling::{Kind, UNKNOWN},
    store::{Schema, Store, TypeConflict},
};

const HEALTH_AND_REFLECTION: [&str; 3] = [
    "grpc.health.v1.Health",
    "grpc.reflection.v1.ServerReflection",
    "grpc.reflection.v1alpha.ServerReflection",
];

pub(crate) type Filter = dyn Fn(&str, &str) -> bool + Send + Sync;

/// A method's name and type.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct MethodSpec {
    pub(crate) service: String,
    pub(crate) method: String,
    pub(crate) kind: Kind,
    /// Whether a descriptor set declares it, so that its series exist before its first call.
    pub(crate) declared: bool,
}

/// A method with its series: one per combination of extra labels.
#[derive(Debug)]
pub(crate) struct Method {
    pub(crate) spec: MethodSpec,
    schema: Arc<Schema>,
    series: Box<[OnceLock<Series>]>,
}

/// The target of a path.
#[derive(Clone, Debug)]
pub(crate) enum Entry {
    /// The only series of a method without extra labels.
    Series(&'static Series),
    Method(&'static Method),
    /// The user excluded the method.
    Excluded,
}

/// Which methods are counted.
pub(crate) struct Selection {
    pub(crate) exclude_health_and_reflection: bool,
    pub(crate) filter: Arc<Filter>,
}

pub(crate) struct MethodTable {
    by_path: PathMap<Entry>,
    /// Maps each known service to its `unknown` method.
    by_service: PathMap<Entry>,
    unknown: Entry,
    /// For clients without descriptor sets.
    learned: Option<LearnedMethods>,
}

// === impl Method ===

impl Method {
    pub(crate) fn new(schema: &Arc<Schema>, spec: MethodSpec) -> Self {
        let combinations = labels::combinations(&schema.config.extra_labels);
        let method = Self {
            series: (0..combinations).map(|_| OnceLock::new()).collect(),
            schema: Arc::clone(schema),
            spec,
        };
        let zero_init = schema.config.zero_init != ZeroInit::None;
        if method.spec.declared && (zero_init || combinations == 1) {
            for combination in 0..combinations {
                method.series(combination);
            }
        }
        method
    }

    /// The existing series with their combinations of extra labels.
    pub(crate) fn existing(&self) -> impl Iterator<Item = (usize, &Series)> {
        let series = self.series.iter().enumerate();
        series.filter_map(|(combination, series)| Some((combination, series.get()?)))
    }

    pub(crate) fn series_of<B>(&self, request: &Request<B>) -> &Series {
        self.series(labels::combination(
            &self.schema.config.extra_labels,
            request,
        ))
    }

    pub(crate) fn series(&self, combination: usize) -> &Series {
        self.series[combination]
            .get_or_init(|| Series::new(&self.schema, self.spec.kind, self.labels(combination)))
    }

    /// The labels of this series by OpenTelemetry's stable conventions.
    pub(crate) fn stable_labels(&self, combination: usize) -> Labels {
        let mut pairs = self.own_labels(combination);
        let MethodSpec {
            service, method, ..
        } = &self.spec;
        // A method that no descriptor set and no generated client names.
        let full = match method == UNKNOWN && self.spec.kind == Kind::Unknown {
            true => "_OTHER".to_owned(),
            false => format!("{service}/{method}"),
        };
        pairs.push((labels::FULL_METHOD.to_owned(), full));
        pairs.push((labels::SYSTEM_NAME.to_owned(), "grpc".to_owned()));
        Labels::new(pairs)
    }

    /// Constant and extra labels.
    fn own_labels(&self, combination: usize) -> Vec<(String, String)> {
        let config = &self.schema.config;
        let mut pairs = labels::values(&config.extra_labels, combination);
        pairs.extend(config.const_labels.iter().cloned());
        pairs
    }

    fn labels(&self, combination: usize) -> Labels {
        let config = &self.schema.config;
        let mut pairs = self.own_labels(combination);
        let kind = config.style.kind(self.spec.kind).to_owned();
        pairs.push((labels::METHOD.to_owned(), self.spec.method.clone()));
        pairs.push((labels::SERVICE.to_owned(), self.spec.service.clone()));
        pairs.push((labels::TYPE.to_owned(), kind));
        Labels::new(pairs)
    }
}

// === impl Entry ===

impl Entry {
    pub(crate) fn new(method: &'static Method) -> Self {
        match &*method.series {
            [_] => Self::Series(method.series(0)),
            _ => Self::Method(method),
        }
    }

    #[inline]
    pub(crate) fn series<B>(&self, request: &Request<B>) -> Option<&'static Series> {
        match self {
            Self::Series(series) => Some(series),
            Self::Method(method) => Some(method.series_of(request)),
            Self::Excluded => None,
        }
    }
}

// === impl Selection ===

impl Selection {
    pub(crate) fn counted<'a>(&self, specs: &'a [MethodSpec]) -> Vec<&'a MethodSpec> {
        let included = |spec: &&MethodSpec| !self.excludes_service(&spec.service);
        let counted = specs.iter().filter(included);
        counted.filter(|spec| self.counts(spec)).collect()
    }

    fn excludes_service(&self, service: &str) -> bool {
        self.exclude_health_and_reflection && HEALTH_AND_REFLECTION.contains(&service)
    }

    fn counts(&self, spec: &MethodSpec) -> bool {
        (self.filter)(&spec.service, &spec.method)
    }
}

// === impl MethodTable ===

impl MethodTable {
    /// With `learns`, methods that no descriptor set declares are added at their first call.
    pub(crate) fn new(
        store: &Arc<Store>,
        specs: &[MethodSpec],
        selection: &Selection,
        learns: bool,
    ) -> Result<Self, TypeConflict> {
        store.declare(&selection.counted(specs))?;
        let mut by_path = HashMap::new();
        let mut by_service = HashMap::new();
        for spec in specs {
            if selection.excludes_service(&spec.service) {
                continue;
            }
            let entry = if selection.counts(spec) {
                Entry::new(store.method(spec))
            } else {
                Entry::Excluded
            };
            by_path.insert(path(spec), entry);
            by_service
                .entry(spec.service.as_str().into())
                .or_insert_with(|| unknown(store, &spec.service));
        }
        let services = HEALTH_AND_REFLECTION.into_iter();
        let excluded = services.filter(|service| selection.excludes_service(service));
        by_service.extend(excluded.map(|service| (service.into(), Entry::Excluded)));
        let filter = Arc::clone(&selection.filter);
        Ok(Self {
            by_path: by_path.into(),
            by_service: by_service.into(),
            unknown: unknown(store, UNKNOWN),
            learned: learns.then(|| LearnedMethods::new(Arc::clone(store), filter)),
        })
    }

    /// The entry of a counted or excluded method; `None` for other paths.
    pub(crate) fn method(&self, path: &str) -> Option<&Entry> {
        let nested = || {
            let (service, path) = last_segments(path)?;
            let excluded = || {
                let entry = self.by_service.get(service)?;
                matches!(entry, Entry::Excluded).then_some(entry)
            };
            self.by_path.get(path).or_else(excluded)
        };
        self.by_path.get(path).or_else(nested)
    }

    /// The series for a request; `None` if its method is excluded.
    #[inline]
    pub(crate) fn find<B>(&self, request: &Request<B>) -> Option<&'static Series> {
        let path = request.uri().path();
        match self.by_path.get(path) {
            Some(entry) => entry.series(request),
            None => self.find_elsewhere(path, request),
        }
    }

    #[inline(never)]
    fn find_elsewhere<B>(&self, path: &str, request: &Request<B>) -> Option<&'static Series> {
        let nested = || {
            let (service, path) = last_segments(path)?;
            let by_service = || self.by_service.get(service);
            self.by_path.get(path).or_else(by_service)
        };
        let learned = || self.learned.as_ref()?.find(request);
        let entry = nested().or_else(learned);
        entry.unwrap_or(&self.unknown).series(request)
    }
}

impl fmt::Debug for MethodTable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MethodTable")
            .field("paths", &self.by_path)
            .finish_non_exhaustive()
    }
}

fn unknown(store: &Store, service: &str) -> Entry {
    Entry::Method(store.method(&MethodSpec {
        service: service.to_owned(),
        method: UNKNOWN.to_owned(),
        kind: Kind::Unknown,
        declared: false,
    }))
}

/// Splits off the prefix that a router may have added: returns the service and the rest of the
/// path.
fn last_segments(path: &str) -> Option<(&str, &str)> {
    let (rest, _) = path.rsplit_once('/')?;
    let (prefix, service) = rest.rsplit_once('/')?;
    Some((service, &path[prefix.len()..]))
}

fn path(spec: &MethodSpec) -> Box<str> {
    format!("/{}/{}", spec.service, spec.method).into()
}
