//! Methods that become known by their first call: for a client without descriptor sets.

use std::sync::{Arc, OnceLock};

use http::Request;

use super::{
    methods::{Entry, Keep, MethodSpec},
    paths::hash,
    spelling::Kind,
    store::Store,
};

/// Places in the table; a method finds none once those it may take are full, and is `unknown`.
const PLACES: usize = 1_024;

/// Places that a method may take.
const PROBES: usize = 16;

/// Grows without a lock and never moves: a place is written once.
pub(crate) struct OpenTable {
    store: Arc<Store>,
    keep: Arc<Keep>,
    places: Box<[OnceLock<Place>]>,
}

struct Place {
    service: String,
    method: String,
    entry: Entry,
}

// === impl OpenTable ===

impl OpenTable {
    pub(crate) fn new(store: Arc<Store>, keep: Arc<Keep>) -> Self {
        Self {
            store,
            keep,
            places: (0..PLACES).map(|_| OnceLock::new()).collect(),
        }
    }

    /// By the name that tonic's generated client puts into the request. It comes from the text of
    /// a program, unlike the path, so there are only so many.
    pub(crate) fn find<B>(&self, request: &Request<B>) -> Option<&Entry> {
        let (service, method) = generated_name(request)?;
        let hash = hash(service.as_bytes()) ^ hash(method.as_bytes()).rotate_left(32);
        // No overflow: below twice `PLACES`.
        let start = hash as usize % PLACES;
        let probes = (start..start + PROBES).map(|place| place % PLACES);
        for place in probes {
            let place = self.places[place].get_or_init(|| self.place(service, method));
            if place.service == service && place.method == method {
                return Some(&place.entry);
            }
        }
        None
    }

    fn place(&self, service: &str, method: &str) -> Place {
        let spec = MethodSpec {
            service: service.to_owned(),
            method: method.to_owned(),
            kind: Kind::Unknown,
            listed: false,
        };
        let entry = if (self.keep)(service, method) {
            Entry::new(self.store.method(&spec))
        } else {
            Entry::Ignored
        };
        Place {
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
