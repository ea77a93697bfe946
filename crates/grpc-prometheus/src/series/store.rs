//! What all layers of one side of one registry share: a configuration and the methods.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError},
};

use super::{
    config::Config,
    connections::Connections,
    families::Family,
    layout::{Histogram, Layout},
    methods::{Method, MethodSpec},
    spelling::Kind,
};

/// What a call needs to know of the configuration.
#[derive(Debug)]
pub(crate) struct Plan {
    pub(crate) config: Config,
    pub(crate) layout: Layout,
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

// === impl Plan ===

impl Plan {
    fn new(config: Config) -> Self {
        Self {
            layout: config.layout(),
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
