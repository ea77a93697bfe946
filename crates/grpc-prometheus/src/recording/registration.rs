//! What a layer records into: the series of one registration, and how it finds them.

use std::{fmt, sync::Arc};

use http::{Request, header::CONTENT_TYPE};

use super::{
    call::{Call, Open},
    clock::{self, NEVER},
    handle::Resolve,
    headers,
    layer::Hooks,
    reset::ResetFlag,
};
use crate::series::{Series, Side, Store, Table};

pub(crate) struct Registration {
    pub(crate) store: Arc<Store>,
    pub(crate) table: Table,
    /// Nanoseconds after which a server ends calls, or [`NEVER`].
    timeout: u64,
}

// === impl Registration ===

impl Registration {
    pub(crate) fn new(store: Arc<Store>, table: Table) -> Self {
        let timeout = store.plan.config.timeout;
        Self {
            store,
            table,
            timeout: timeout.map_or(NEVER, clock::nanos),
        }
    }

    /// Starts the call of this request, unless it is not to be counted.
    #[inline]
    pub(crate) fn start<B>(&self, request: &mut Request<B>, hooks: Hooks) -> Open {
        let content_type = headers::get(request.headers(), &CONTENT_TYPE);
        let content_type = content_type.map_or(&[][..], |value| value.as_bytes());
        if !content_type.starts_with(b"application/grpc") {
            return Open::new(None, None);
        }
        // Base64 hides the messages and the status: see the README on grpc-web.
        let series = match content_type.starts_with(b"application/grpc-web-text") {
            true => None,
            false => self.series(request, hooks),
        };
        let call = series.map(|series| Call::start(series, request, self.timeout));
        let served = call.is_some_and(|call| call.series.side == Side::Server);
        let reset = (served || hooks.share_reset.is_some()).then(ResetFlag::open);
        if let (Some(share), Some(reset)) = (hooks.share_reset, reset) {
            share(request.extensions_mut(), reset);
        }
        Open::new(call, reset)
    }

    #[inline]
    fn series<B>(&self, request: &Request<B>, hooks: Hooks) -> Option<&'static Series> {
        let resolve = |resolve: Resolve| resolve(request.extensions())?.entry_in(self);
        match hooks.resolve.and_then(resolve) {
            Some(entry) => entry.series(request),
            None => self.table.find(request),
        }
    }
}

/// Not the series: whoever shows a type with a layer in it would show thousands of numbers.
impl fmt::Debug for Registration {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Registration")
            .field("side", &self.store.plan.config.side)
            .field("namespace", &self.store.plan.config.namespace)
            .finish_non_exhaustive()
    }
}
