//! Path → the cells of one method, frozen at registration; `unknown` for the rest.

use std::{
    collections::HashMap,
    sync::{Arc, OnceLock},
};

use crate::{
    cells::{Cells, Series},
    descriptor::MethodSpec,
    families::{Kind, UNKNOWN},
    store::{Plan, Store},
};

const HEALTH_AND_REFLECTION: [&str; 3] = [
    "grpc.health.v1.Health",
    "grpc.reflection.v1.ServerReflection",
    "grpc.reflection.v1alpha.ServerReflection",
];

/// One method with its series.
#[derive(Debug)]
pub(crate) struct Method {
    pub(crate) spec: MethodSpec,
    plan: Arc<Plan>,
    series: OnceLock<Series>,
}

/// What a path leads to.
#[derive(Debug)]
enum Entry {
    Method(Arc<Method>),
    /// Excluded by the user.
    Ignored,
}

#[derive(Debug)]
pub(crate) struct Table {
    by_path: HashMap<Box<str>, Entry>,
    /// Known service → its `unknown` method.
    by_service: HashMap<Box<str>, Entry>,
    unknown: Arc<Method>,
}

// === impl Method ===

impl Method {
    pub(crate) fn new(plan: &Arc<Plan>, spec: MethodSpec) -> Self {
        Self {
            spec,
            plan: Arc::clone(plan),
            series: OnceLock::new(),
        }
    }

    fn unknown(service: &str) -> MethodSpec {
        MethodSpec {
            service: service.to_owned(),
            method: UNKNOWN.to_owned(),
            kind: Kind::Unknown,
        }
    }

    /// The series if it exists yet.
    pub(crate) fn series(&self) -> Option<&Series> {
        self.series.get()
    }

    pub(crate) fn create_series(&self) -> &Series {
        self.series.get_or_init(|| Series::new(&self.plan))
    }

    pub(crate) fn cells(&self) -> Arc<Cells> {
        Arc::clone(self.create_series().cells())
    }
}

// === impl Table ===

impl Table {
    pub(crate) fn new(
        store: &Store,
        specs: &[MethodSpec],
        exclude_health_and_reflection: bool,
        keep: impl Fn(&str, &str) -> bool,
    ) -> Self {
        let mut by_path = HashMap::new();
        let mut by_service = HashMap::new();
        for spec in specs {
            let entry = if keep(&spec.service, &spec.method) {
                let method = store.method(spec);
                method.create_series();
                Entry::Method(method)
            } else {
                Entry::Ignored
            };
            by_path.insert(path(spec), entry);
            by_service
                .entry(spec.service.as_str().into())
                .or_insert_with(|| Entry::Method(store.method(&Method::unknown(&spec.service))));
        }
        if exclude_health_and_reflection {
            for service in HEALTH_AND_REFLECTION {
                by_service.insert(service.into(), Entry::Ignored);
                by_path.retain(|path, _| split(path).is_none_or(|(s, _)| s != service));
            }
        }
        Self {
            by_path,
            by_service,
            unknown: store.method(&Method::unknown(UNKNOWN)),
        }
    }

    /// The method to count under; `None` if the user excluded it.
    pub(crate) fn find(&self, path: &str) -> Option<&Arc<Method>> {
        let entry = self.by_path.get(path).or_else(|| self.find_nested(path));
        match entry {
            Some(Entry::Method(method)) => Some(method),
            Some(Entry::Ignored) => None,
            None => Some(&self.unknown),
        }
    }

    /// A router may serve gRPC under a prefix: only the last two segments count.
    fn find_nested(&self, path: &str) -> Option<&Entry> {
        let (service, method) = split(path)?;
        let start = path.len() - service.len() - method.len() - 2;
        self.by_path
            .get(&path[start..])
            .or_else(|| self.by_service.get(service))
    }
}

fn path(spec: &MethodSpec) -> Box<str> {
    format!("/{}/{}", spec.service, spec.method).into()
}

/// The last two segments of a path.
fn split(path: &str) -> Option<(&str, &str)> {
    let (rest, method) = path.rsplit_once('/')?;
    let (_, service) = rest.rsplit_once('/')?;
    Some((service, method))
}
