//! Path → the series of one method, frozen at registration; `unknown` for the rest.

use std::{
    collections::HashMap,
    fmt,
    hash::{BuildHasherDefault, Hasher},
    sync::{Arc, OnceLock},
};

use http::Request;

use crate::{
    ZeroInit,
    cells::Series,
    descriptor::MethodSpec,
    families::{Kind, UNKNOWN},
    labels::{self, Labels},
    open::OpenTable,
    store::{Plan, Store},
};

const HEALTH_AND_REFLECTION: [&str; 3] = [
    "grpc.health.v1.Health",
    "grpc.reflection.v1.ServerReflection",
    "grpc.reflection.v1alpha.ServerReflection",
];

pub(crate) type Keep = dyn Fn(&str, &str) -> bool + Send + Sync;

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
    Method(&'static Method),
    /// Excluded by the user.
    Ignored,
}

pub(crate) struct Table {
    by_path: Map,
    /// Known service → its `unknown` method.
    by_service: Map,
    unknown: Entry,
    /// For a client that was given no descriptor set.
    open: Option<OpenTable>,
}

type Map = HashMap<Box<str>, Entry, BuildHasherDefault<PathHasher>>;

/// Multiplies and rotates eight bytes at a time. The map never grows after registration, so
/// nobody can fill it with collisions.
#[derive(Default)]
pub(crate) struct PathHasher(u64);

/// Odd, and its bits are mixed: 2^64 divided by the golden ratio.
const FACTOR: u64 = 0x9e37_79b9_7f4a_7c15;

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
        let mut by_path = Map::default();
        let mut by_service = Map::default();
        let excluded = |service: &str| {
            exclude_health_and_reflection && HEALTH_AND_REFLECTION.contains(&service)
        };
        for spec in specs {
            if excluded(&spec.service) {
                continue;
            }
            let entry = if keep(&spec.service, &spec.method) {
                Entry::Method(store.method(spec))
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
            by_path,
            by_service,
            unknown: unknown(store, UNKNOWN),
            open: open.then(|| OpenTable::new(Arc::clone(store), keep)),
        }
    }

    /// The method to count under; `None` if the user excluded it.
    pub(crate) fn find<B>(&self, request: &Request<B>) -> Option<&'static Method> {
        let path = request.uri().path();
        let known = self.by_path.get(path).or_else(|| self.find_nested(path));
        let open = || self.open.as_ref()?.find(request);
        match known.or_else(open).unwrap_or(&self.unknown) {
            Entry::Method(method) => Some(method),
            Entry::Ignored => None,
        }
    }

    /// A router may serve gRPC under a prefix: only the last two segments count.
    fn find_nested(&self, path: &str) -> Option<&Entry> {
        let (rest, method) = path.rsplit_once('/')?;
        let (prefix, service) = rest.rsplit_once('/')?;
        if !method.is_empty()
            && let Some(entry) = self.by_path.get(&path[prefix.len()..])
        {
            return Some(entry);
        }
        self.by_service.get(service)
    }
}

impl fmt::Debug for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Table")
            .field("paths", &self.by_path.keys())
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

fn path(spec: &MethodSpec) -> Box<str> {
    format!("/{}/{}", spec.service, spec.method).into()
}

// === impl PathHasher ===

impl PathHasher {
    fn add(&mut self, word: u64) {
        self.0 = (self.0.rotate_left(26) ^ word).wrapping_mul(FACTOR);
    }
}

impl Hasher for PathHasher {
    fn write(&mut self, bytes: &[u8]) {
        let (words, rest) = bytes.as_chunks::<8>();
        for word in words {
            self.add(u64::from_le_bytes(*word));
        }
        // The last eight bytes, some of them again: to copy an odd number of bytes costs more.
        match bytes.last_chunk() {
            Some(last) => self.add(u64::from_le_bytes(*last)),
            None => rest.iter().for_each(|byte| self.add(u64::from(*byte))),
        }
    }

    fn write_u8(&mut self, _: u8) {
        // The end mark of a `str`: a map of whole strings needs none.
    }

    fn finish(&self) -> u64 {
        // A hash map looks at the top bits and at the bottom bits. The bottom bits of a product know
        // only the bottom bits of its factors, and the last letters of a name are in the top ones.
        let mixed = (self.0 ^ (self.0 >> 32)).wrapping_mul(FACTOR);
        mixed ^ (mixed >> 32)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn methods_that_differ_in_their_last_letters_are_spread_over_the_map() {
        let letters = || 'A'..='Z';
        let methods = letters().flat_map(|a| letters().map(move |b| format!("/a.v1.S/Get{a}{b}")));
        let places = methods.map(|path| {
            let mut hasher = PathHasher::default();
            hasher.write(path.as_bytes());
            hasher.finish() % 1_024
        });
        // 676 dice of 1,024 sides show 495 numbers on average.
        let places: HashSet<_> = places.collect();
        assert!(places.len() > 400, "{}", places.len());
    }
}
