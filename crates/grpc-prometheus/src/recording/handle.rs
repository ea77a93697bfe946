//! A method that a server looks up once for all of its layers.

use std::{fmt, ptr};

use http::Extensions;

use super::registration::Registration;
use crate::series::Entry;

/// A method that is known to a [`ServerMetrics`](crate::ServerMetrics), or that it excludes.
///
/// Two words to copy, valid for as long as the process lives. Made by
/// [`ServerMetrics::method`](crate::ServerMetrics::method) and read by a layer through
/// [`ServerLayer::resolved_by`](crate::ServerLayer::resolved_by).
#[derive(Clone, Copy)]
pub struct MethodHandle {
    registration: &'static Registration,
    entry: &'static Entry,
}

/// Finds the handle that the server around a layer left with a request.
pub(crate) type Resolve = fn(&Extensions) -> Option<MethodHandle>;

// === impl MethodHandle ===

impl MethodHandle {
    pub(crate) fn find(registration: &'static Registration, path: &str) -> Option<Self> {
        let entry = registration.table.method(path)?;
        Some(Self {
            registration,
            entry,
        })
    }

    /// `None` if the handle was made by other metrics.
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
