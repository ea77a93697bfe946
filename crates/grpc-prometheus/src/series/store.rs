//! The series of one side: shared by all registrations with the same names.

use std::{
    collections::{BTreeMap, HashMap},
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

/// A method that is declared with two types.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct TypeConflict {
    pub(crate) first: MethodSpec,
    pub(crate) second: Kind,
}

/// Every method must have one type.
pub(crate) fn check_types<'a>(
    specs: impl Iterator<Item = &'a MethodSpec>,
) -> Result<(), TypeConflict> {
    let mut known = HashMap::new();
    for spec in specs {
        let name = (&spec.service, &spec.method);
        let first: &MethodSpec = known.entry(name).or_insert(spec);
        if first.kind != spec.kind {
            return Err(TypeConflict {
                first: first.clone(),
                second: spec.kind,
            });
        }
    }
    Ok(())
}

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
            Family::Handling if self.config.conventions.has_grpc() => self.layout.handling.as_ref(),
            Family::CallDuration if self.config.conventions.has_stable() => {
                self.layout.handling.as_ref()
            }
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

    /// Adds declared methods: all of them, or none if one is declared with two types.
    pub(crate) fn declare(&self, specs: &[&MethodSpec]) -> Result<(), TypeConflict> {
        let mut methods = self.methods();
        let declared = methods.values().map(|method| &method.spec);
        let declared = declared.filter(|spec| spec.declared);
        check_types(declared.chain(specs.iter().copied()))?;
        for spec in specs {
            self.insert(&mut methods, spec);
        }
        Ok(())
    }

    /// Returns the method with this name, and adds it if it is new.
    ///
    /// It is leaked: calls refer to its counters, and reference counting would cost each call more
    /// than the look-up.
    pub(crate) fn method(&self, spec: &MethodSpec) -> &'static Method {
        self.insert(&mut self.methods(), spec)
    }

    fn insert(&self, methods: &mut Methods, spec: &MethodSpec) -> &'static Method {
        let name = (spec.service.clone(), spec.method.clone(), spec.kind);
        let new = || &*Box::leak(Box::new(Method::new(&self.schema, spec.clone())));
        methods.entry(name).or_insert_with(new)
    }
}
