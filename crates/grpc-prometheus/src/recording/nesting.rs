//! Detects a second layer of the same metrics on the path of one request.
//!
//! While a metered service works on a request, the thread knows the request. A layer below that
//! gets the same request for the same series does not count it again. A marker in the request
//! itself would cost an allocation per call.

use std::{cell::Cell, ptr};

use http::HeaderValue;

use crate::series::Series;

/// Identifies a counted request: its series, mixed with the address of a header's value, which stays
/// while the request moves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct CountedRequest(usize);

/// Puts the outer request back on drop.
#[derive(Debug)]
pub(crate) struct Outer(CountedRequest);

thread_local! {
    static CURRENT: Cell<CountedRequest> = const { Cell::new(CountedRequest::NONE) };
}

// === impl CountedRequest ===

impl CountedRequest {
    /// A request that is not counted.
    pub(crate) const NONE: Self = Self(0);

    #[inline]
    pub(crate) fn new(series: &Series, header: &HeaderValue) -> Self {
        let (series, header) = (ptr::from_ref(series).addr(), ptr::from_ref(header).addr());
        Self(series.rotate_left(32) ^ header)
    }

    /// Whether a layer outside counts this request.
    #[inline]
    pub(crate) fn is_current(self) -> bool {
        CURRENT.get() == self
    }

    /// Makes this the current request of the thread.
    #[inline]
    pub(crate) fn enter(self) -> Outer {
        Outer(CURRENT.replace(self))
    }
}

// === impl Outer ===

impl Drop for Outer {
    #[inline]
    fn drop(&mut self) {
        CURRENT.set(self.0);
    }
}
