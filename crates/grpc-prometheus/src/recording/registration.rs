//! One registration: its series and its look-up table. Layers record into it.

use std::{fmt, sync::Arc};

use http::{Request, header::CONTENT_TYPE};

use super::{
    call::{Call, OpenCall},
    clock::{self, NEVER},
    handle::ResolveMethod,
    headers,
    layer::Hooks,
    reset::ResetFlag,
};
use crate::series::{MethodTable, Series, Side, Store};

pub(crate) struct Registration {
    pub(crate) store: Arc<Store>,
    pub(crate) table: MethodTable,
    /// The server's own timeout in nanoseconds, or [`NEVER`].
    timeout: u64,
}

// === impl Registration ===

impl Registration {
    pub(crate) fn new(store: Arc<Store>, table: MethodTable) -> Self {
        let timeout = store.schema.config.timeout;
        Self {
            store,
            table,
            timeout: timeout.map_or(NEVER, clock::nanos),
        }
    }

    /// Starts the call of this request. The result is empty if the call is not counted.
    #[inline]
    pub(crate) fn start<B>(&self, request: &mut Request<B>, hooks: Hooks) -> OpenCall {
        let content_type = headers::get(request.headers(), &CONTENT_TYPE);
        let content_type = content_type.map_or(&[][..], |value| value.as_bytes());
        if !content_type.starts_with(b"application/grpc") {
            return OpenCall::new(None, None);
        }
        // Messages and status are base64-encoded here, so the call is not counted.
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
        OpenCall::new(call, reset)
    }

    #[inline]
    fn series<B>(&self, request: &Request<B>, hooks: Hooks) -> Option<&'static Series> {
        let resolve = |resolve: ResolveMethod| resolve(request.extensions())?.entry_in(self);
        match hooks.resolve.and_then(resolve) {
            Some(entry) => entry.series(request),
            None => self.table.find(request),
        }
    }
}

/// Omits the series: thousands of numbers in the `Debug` text of every layer.
impl fmt::Debug for Registration {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Registration")
            .field("side", &self.store.schema.config.side)
            .field("namespace", &self.store.schema.config.namespace)
            .finish_non_exhaustive()
    }
}
