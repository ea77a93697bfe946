//! What all layers of one side of one registry share: a configuration and the methods.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError},
    time::Duration,
};

use crate::{
    Buckets, CodeLabel, LabelStyle, ZeroInit,
    clock::{self, NEVER},
    connections::Connections,
    descriptor::MethodSpec,
    families::{Family, Kind, Side},
    labels::ExtraLabel,
    layout::{Bounds, Histogram, Layout},
    methods::Method,
};

/// What the user chose; two registrations under the same names must agree on all of it.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Config {
    pub(crate) side: Side,
    pub(crate) namespace: Option<String>,
    pub(crate) const_labels: Vec<(String, String)>,
    pub(crate) extra_labels: Vec<ExtraLabel>,
    pub(crate) style: LabelStyle,
    pub(crate) code_label: CodeLabel,
    pub(crate) zero_init: ZeroInit,
    pub(crate) handling: Option<Buckets>,
    pub(crate) sizes: Option<Buckets>,
    pub(crate) message_times: Option<Buckets>,
    /// After which a server ends calls.
    pub(crate) timeout: Option<Duration>,
    pub(crate) exemplars: bool,
}

/// What a call needs to know of the configuration.
#[derive(Debug)]
pub(crate) struct Plan {
    pub(crate) config: Config,
    pub(crate) layout: Layout,
    /// Nanoseconds after which a server ends calls, or [`NEVER`].
    pub(crate) deadline: u64,
}

#[derive(Debug)]
pub(crate) struct Store {
    pub(crate) plan: Arc<Plan>,
    /// Empty until somebody counts connections.
    pub(crate) connections: OnceLock<Arc<Connections>>,
    methods: Mutex<Methods>,
}

/// By service, method and kind: as they are printed.
type Methods = BTreeMap<(String, String, Kind), &'static Method>;

// === impl Config ===

impl Config {
    pub(crate) fn family(&self, family: Family) -> String {
        let (side, suffix) = (self.side, family.suffix());
        match &self.namespace {
            Some(namespace) => format!("{namespace}_grpc_{side}_{suffix}"),
            None => format!("grpc_{side}_{suffix}"),
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
            ("code on the histogram", self.code_label == other.code_label),
            ("zero initialisation", self.zero_init == other.zero_init),
            ("extra labels", self.extra_labels == other.extra_labels),
            ("handling buckets", self.handling == other.handling),
            ("message sizes", self.sizes == other.sizes),
            ("message times", self.message_times == other.message_times),
            ("timeout", self.timeout == other.timeout),
            ("exemplars", self.exemplars == other.exemplars),
        ];
        let different = options.into_iter().find(|(_, equal)| !equal);
        different.map(|(option, _)| option)
    }

    fn layout(&self) -> Layout {
        let seconds = |buckets: &Buckets| Bounds::seconds(buckets.bounds());
        let handling = self.handling.as_ref().map(seconds);
        Layout::new(
            handling.map(|bounds| (bounds, self.code_label.histograms())),
            self.sizes
                .as_ref()
                .map(|buckets| Bounds::bytes(buckets.bounds()))
                .as_ref(),
            self.message_times.as_ref().map(seconds).as_ref(),
        )
    }
}

// === impl Plan ===

impl Plan {
    fn new(config: Config) -> Self {
        Self {
            layout: config.layout(),
            deadline: config.timeout.map_or(NEVER, clock::nanos),
            config,
        }
    }

    pub(crate) fn histogram(&self, family: Family) -> Option<&Histogram> {
        match family {
            Family::Handling => self.layout.handling.as_ref(),
            Family::ReceivedBytes => self.layout.received_bytes.as_ref(),
            Family::SentBytes => self.layout.sent_bytes.as_ref(),
            Family::ReceiveTime => self.layout.receive_time.as_ref(),
            Family::SendTime => self.layout.send_time.as_ref(),
            _ => None,
        }
    }
}

// === impl Store ===

impl Store {
    pub(crate) fn new(config: Config) -> Self {
        Self {
            plan: Arc::new(Plan::new(config)),
            connections: OnceLock::new(),
            methods: Mutex::new(BTreeMap::new()),
        }
    }

    /// Taken at registration, at a scrape and when a method shows up; never by a call of a method
    /// that is in the table.
    pub(crate) fn methods(&self) -> MutexGuard<'_, Methods> {
        self.methods.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The method of that name, added if nobody did so before.
    ///
    /// It lives as long as the process: a call points to its numbers, and to count who does would
    /// cost each call more than to find them.
    pub(crate) fn method(&self, spec: &MethodSpec) -> &'static Method {
        let mut methods = self.methods();
        let name = (spec.service.clone(), spec.method.clone(), spec.kind);
        let new = || &*Box::leak(Box::new(Method::new(&self.plan, spec.clone())));
        methods.entry(name).or_insert_with(new)
    }
}
