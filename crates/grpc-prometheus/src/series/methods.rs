//! Path → the series of one method, frozen at registration; `unknown` for the rest.

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
    learned::OpenTable,
    paths::Paths,
    spelling::{Kind, UNKNOWN},
    store::{Plan, Store},
};

const HEALTH_AND_REFLECTION: [&str; 3] = [
    "grpc.health.v1.Health",
    "grpc.reflection.v1.ServerReflection",
    "grpc.reflection.v1alpha.ServerReflection",
];

pub(crate) type Keep = dyn Fn(&str, &str) -> bool + Send + Sync;

/// A method by name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct MethodSpec {
    pub(crate) service: String,
    pub(crate) method: String,
    pub(crate) kind: Kind,
    /// From a descriptor set, hence with series before its first call.
    pub(crate) listed: bool,
}

/// One method with its series, one per combination of extra labels.
#[derive(Debug)]
pub(crate) struct Method {
    pub(crate) spec: MethodSpec,
    plan: Arc<Plan>,
    series: Box<[OnceLock<Series>]>,
}

/// What a path leads to.
#[derive(Clone, Debug)]
pub(crate) enum Entry {
    /// The series of a method that has only one.
    Series(&'static Series),
    Method(&'static Method),
    /// Excluded by the user.
    Ignored,
}

pub(crate) struct Table {
    by_path: Paths<Entry>,
    /// Known service → its `unknown` method.
    by_service: Paths<Entry>,
    unknown: Entry,
    /// For a client that was given no descriptor set.
    open: Option<OpenTable>,
}

// === impl Method ===

impl Method {
    pub(crate) fn new(plan: &Arc<Plan>, spec: MethodSpec) -> Self {
        let combinations = labels::combinations(&plan.config.extra_labels);
        let method = Self {
            series: (0..combinations).map(|_| OnceLock::new()).collect(),
            plan: Arc::clone(plan),
            spec,
        };
        let zero_init = plan.config.zero_init != ZeroInit::None;
        if method.spec.listed && (zero_init || combinations == 1) {
            for combination in 0..combinations {
                method.series(combination);
            }
        }
        method
    }

    /// The series that exist, each with its combination of extra labels.
    pub(crate) fn existing(&self) -> impl Iterator<Item = (usize, &Series)> {
        let series = self.series.iter().enumerate();
        series.filter_map(|(combination, series)| Some((combination, series.get()?)))
    }

    pub(crate) fn series_of<B>(&self, request: &Request<B>) -> &Series {
        self.series(labels::combination(&self.plan.config.extra_labels, request))
    }

    pub(crate) fn series(&self, combination: usize) -> &Series {
        self.series[combination].get_or_init(|| Series::new(&self.plan, self.labels(combination)))
    }

    fn labels(&self, combination: usize) -> Labels {
        let config = &self.plan.config;
        let mut pairs = labels::values(&config.extra_labels, combination);
        pairs.extend(config.const_labels.iter().cloned());
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
            Self::Ignored => None,
        }
    }
}

// === impl Table ===

impl Table {
    /// `open` makes methods that are in no descriptor set known by their first call.
    pub(crate) fn new(
        store: &Arc<Store>,
        specs: &[MethodSpec],
        exclude_health_and_reflection: bool,
        keep: Arc<Keep>,
        open: bool,
    ) -> Self {
        let mut by_path = HashMap::new();
        let mut by_service = HashMap::new();
        let excluded = |service: &str| {
            exclude_health_and_reflection && HEALTH_AND_REFLECTION.contains(&service)
        };
        for spec in specs {
            if excluded(&spec.service) {
                continue;
            }
            let entry = if keep(&spec.service, &spec.method) {
                Entry::new(store.method(spec))
            } else {
                Entry::Ignored
            };
            by_path.insert(path(spec), entry);
            by_service
                .entry(spec.service.as_str().into())
                .or_insert_with(|| unknown(store, &spec.service));
        }
        let excluded = HEALTH_AND_REFLECTION.into_iter().filter(|s| excluded(s));
        by_service.extend(excluded.map(|service| (service.into(), Entry::Ignored)));
        Self {
            by_path: by_path.into(),
            by_service: by_service.into(),
            unknown: unknown(store, UNKNOWN),
            open: open.then(|| OpenTable::new(Arc::clone(store), keep)),
        }
    }

    /// The entry of a method that is known or excluded; `None` for any other path.
    pub(crate) fn method(&self, path: &str) -> Option<&Entry> {
        let nested = || {
            let (service, path) = last_segments(path)?;
            let excluded = || {
                let entry = self.by_service.get(service)?;
                matches!(entry, Entry::Ignored).then_some(entry)
            };
            self.by_path.get(path).or_else(excluded)
        };
        self.by_path.get(path).or_else(nested)
    }

    /// The series of a request's path; `None` if the user excluded it.
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
        let open = || self.open.as_ref()?.find(request);
        let entry = nested().or_else(open);
        entry.unwrap_or(&self.unknown).series(request)
    }
}

impl fmt::Debug for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Table")
            .field("paths", &self.by_path)
            .finish_non_exhaustive()
    }
}

fn unknown(store: &Store, service: &str) -> Entry {
    Entry::Method(store.method(&MethodSpec {
        service: service.to_owned(),
        method: UNKNOWN.to_owned(),
        kind: Kind::Unknown,
        listed: false,
    }))
}

/// The service, and the path without what a router may have put before it.
fn last_segments(path: &str) -> Option<(&str, &str)> {
    let (rest, _) = path.rsplit_once('/')?;
    let (prefix, service) = rest.rsplit_once('/')?;
    Some((service, &path[prefix.len()..]))
}

fn path(spec: &MethodSpec) -> Box<str> {
    format!("/{}/{}", spec.service, spec.method).into()
}
