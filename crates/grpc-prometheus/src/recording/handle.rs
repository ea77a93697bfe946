//! Handles of methods, for servers that resolve request paths themselves.

use std::{fmt, ptr};

use http::Extensions;

use super::registration::Registration;
use crate::series::Entry;

/// A method that a [`ServerMetrics`](crate::ServerMetrics) counts or excludes.
///
/// Cheap to copy and valid for the life of the process.
/// [`ServerMetrics::method`](crate::ServerMetrics::method) creates it; a layer reads it through
/// [`ServerLayer::resolved_by`](crate::ServerLayer::resolved_by).
#[derive(Clone, Copy)]
pub struct MethodHandle {
    registration: &'static Registration,
    entry: &'static Entry,
}

/// Reads the handle that the server left in a request's extensions.
pub(crate) type ResolveMethod = fn(&Extensions) -> Option<MethodHandle>;

// === impl MethodHandle ===

impl MethodHandle {
    pub(crate) fn find(registration: &'static Registration, path: &str) -> Option<Self> {
        let entry = registration.table.method(path)?;
        Some(Self {
            registration,
            entry,
        })
    }

    /// `None` if the handle belongs to another registration.
    #[inline]
    pub(crate) fn entry_in(self, registration: &Registration) -> Option<&'static Entry> {
        ptr::eq(self.registration, registration).then_some(self.entry)
    }
}

impl fmt::Debug for MethodHandle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MethodHandle").finish_non_exhaustive()
    }
}
