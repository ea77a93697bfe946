//! What all layers of one side of one registry share: a configuration and the methods.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::{
    Buckets, CodeLabel, LabelStyle, ZeroInit,
    cells::{Histogram, Layout},
    descriptor::MethodSpec,
    families::Side,
    methods::Method,
};

/// What the user chose; two registrations under the same names must agree on all of it.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Config {
    pub(crate) side: Side,
    pub(crate) namespace: Option<String>,
    pub(crate) const_labels: Vec<(String, String)>,
    pub(crate) style: LabelStyle,
    pub(crate) code_label: CodeLabel,
    pub(crate) zero_init: ZeroInit,
    pub(crate) handling: Option<Buckets>,
    pub(crate) sizes: Option<Buckets>,
    pub(crate) message_times: Option<Buckets>,
}

/// What a call needs to know of the configuration.
#[derive(Debug)]
pub(crate) struct Plan {
    pub(crate) config: Config,
    pub(crate) layout: Layout,
    pub(crate) shards: usize,
}

#[derive(Debug)]
pub(crate) struct Store {
    pub(crate) plan: Arc<Plan>,
    methods: Mutex<Vec<Arc<Method>>>,
}

// === impl Config ===

impl Config {
    pub(crate) fn family(&self, name: &str) -> String {
        let side = self.side;
        match &self.namespace {
            Some(namespace) => format!("{namespace}_grpc_{side}_{name}"),
            None => format!("grpc_{side}_{name}"),
        }
    }

    /// Whether two registrations would print the same names with the same constant labels.
    pub(crate) fn same_series(&self, other: &Self) -> bool {
        self.side == other.side
            && self.namespace == other.namespace
            && self.const_labels == other.const_labels
    }

    /// An option on which the two differ.
    pub(crate) fn difference(&self, other: &Self) -> Option<&'static str> {
        let options = [
            ("label style", self.style == other.style),
            ("code label", self.code_label == other.code_label),
            ("zero initialisation", self.zero_init == other.zero_init),
            ("handling buckets", self.handling == other.handling),
            ("message sizes", self.sizes == other.sizes),
            ("message times", self.message_times == other.message_times),
        ];
        let different = options.into_iter().find(|(_, equal)| !equal);
        different.map(|(option, _)| option)
    }

    fn layout(&self) -> Layout {
        let nanos = |buckets: &Buckets| {
            let bounds = buckets.bounds();
            bounds.iter().map(|s| (s * 1e9).round() as u64).collect()
        };
        let bytes = |buckets: &Buckets| {
            let bounds = buckets.bounds();
            bounds.iter().map(|bound| bound.floor() as u64).collect()
        };
        let handling = self.handling.as_ref().map(nanos);
        Layout::new(
            handling.map(|bounds| (bounds, self.code_label.histograms())),
            self.sizes.as_ref().map(bytes),
            self.message_times.as_ref().map(nanos),
        )
    }
}

// === impl Plan ===

impl Plan {
    pub(crate) fn new(config: Config) -> Self {
        Self {
            layout: config.layout(),
            shards: crate::cells::shards(),
            config,
        }
    }

    pub(crate) const fn handling(&self) -> Option<&Histogram> {
        self.layout.handling.as_ref()
    }
}

// === impl Store ===

impl Store {
    pub(crate) fn new(config: Config) -> Self {
        Self {
            plan: Arc::new(Plan::new(config)),
            methods: Mutex::new(Vec::new()),
        }
    }

    /// Taken at registration, at a scrape and at the first call of an unknown method.
    pub(crate) fn methods(&self) -> MutexGuard<'_, Vec<Arc<Method>>> {
        self.methods.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The method of that name, added if nobody did so before.
    pub(crate) fn method(&self, spec: &MethodSpec) -> Arc<Method> {
        let mut methods = self.methods();
        let same = |method: &&Arc<Method>| {
            method.spec.service == spec.service && method.spec.method == spec.method
        };
        if let Some(method) = methods.iter().find(same) {
            return Arc::clone(method);
        }
        let method = Arc::new(Method::new(&self.plan, spec.clone()));
        methods.push(Arc::clone(&method));
        method
    }
}
