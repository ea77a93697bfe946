//! Methods that a client without descriptor sets learns from its calls.

use std::sync::{Arc, OnceLock};

use http::Request;

use super::{
    methods::{Entry, Filter, MethodSpec},
    paths::hash,
    spelling::Kind,
    store::Store,
};

/// Slots of the table. Methods that find no free slot count as `unknown`.
const SLOTS: usize = 1_024;

/// Slots that are probed for one method.
const PROBES: usize = 16;

/// A lock-free hash table that only grows: each slot is written once.
pub(crate) struct LearnedMethods {
    store: Arc<Store>,
    filter: Arc<Filter>,
    slots: Box<[OnceLock<LearnedMethod>]>,
}

struct LearnedMethod {
    service: String,
    method: String,
    entry: Entry,
}

// === impl LearnedMethods ===

impl LearnedMethods {
    pub(crate) fn new(store: Arc<Store>, filter: Arc<Filter>) -> Self {
        Self {
            store,
            filter,
            slots: (0..SLOTS).map(|_| OnceLock::new()).collect(),
        }
    }

    /// Finds a method by the name that tonic's generated client puts into the extensions. Unlike
    /// paths these names are literals of the program, so there are few.
    pub(crate) fn find<B>(&self, request: &Request<B>) -> Option<&Entry> {
        let (service, method) = generated_name(request)?;
        let hash = hash(service.as_bytes()) ^ hash(method.as_bytes()).rotate_left(32);
        // Cannot overflow: less than twice `SLOTS`.
        let start = hash as usize % SLOTS;
        let probes = (start..start + PROBES).map(|slot| slot % SLOTS);
        for slot in probes {
            let learned = self.slots[slot].get_or_init(|| self.learn(service, method));
            if learned.service == service && learned.method == method {
                return Some(&learned.entry);
            }
        }
        None
    }

    fn learn(&self, service: &str, method: &str) -> LearnedMethod {
        let spec = MethodSpec {
            service: service.to_owned(),
            method: method.to_owned(),
            kind: Kind::Unknown,
            declared: false,
        };
        let entry = if (self.filter)(service, method) {
            Entry::new(self.store.method(&spec))
        } else {
            Entry::Excluded
        };
        LearnedMethod {
            service: spec.service,
            method: spec.method,
            entry,
        }
    }
}

#[cfg(feature = "tonic")]
fn generated_name<B>(request: &Request<B>) -> Option<(&str, &str)> {
    let name = request.extensions().get::<tonic::GrpcMethod<'static>>()?;
    Some((name.service(), name.method()))
}

#[cfg(not(feature = "tonic"))]
fn generated_name<B>(_: &Request<B>) -> Option<(&str, &str)> {
    None
}
