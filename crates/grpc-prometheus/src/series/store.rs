//! The series of one side: shared by all registrations with the same names.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError},
};

use super::{
    config::Config,
    connections::Connections,
    families::Family,
    layout::{Histograms, Layout},
    methods::{Method, MethodSpec},
    spelling::Kind,
};

/// The options of a store, and the layout of its series that follows from them.
#[derive(Debug)]
pub(crate) struct Schema {
    pub(crate) config: Config,
    pub(crate) layout: Layout,
}

#[derive(Debug)]
pub(crate) struct Store {
    pub(crate) schema: Arc<Schema>,
    /// Set by the first counted connection.
    pub(crate) connections: OnceLock<Arc<Connections>>,
    methods: Mutex<Methods>,
}

/// By service, method and type, in the order of the page.
type Methods = BTreeMap<(String, String, Kind), &'static Method>;

// === impl Schema ===

impl Schema {
    fn new(config: Config) -> Self {
        Self {
            layout: config.layout(),
            config,
        }
    }

    pub(crate) fn histogram(&self, family: Family) -> Option<&Histograms> {
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
            schema: Arc::new(Schema::new(config)),
            connections: OnceLock::new(),
            methods: Mutex::new(BTreeMap::new()),
        }
    }

    /// Locked at registration, at scrapes and for new methods; never by a call of a known method.
    pub(crate) fn methods(&self) -> MutexGuard<'_, Methods> {
        self.methods.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Returns the method with this name, and adds it if it is new.
    ///
    /// It is leaked: calls refer to its counters, and reference counting would cost each call more
    /// than the look-up.
    pub(crate) fn method(&self, spec: &MethodSpec) -> &'static Method {
        let mut methods = self.methods();
        let name = (spec.service.clone(), spec.method.clone(), spec.kind);
        let new = || &*Box::leak(Box::new(Method::new(&self.schema, spec.clone())));
        methods.entry(name).or_insert_with(new)
    }
}
