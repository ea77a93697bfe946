//! One registration: its series and its look-up table. Layers record into it.

use std::{fmt, mem, sync::Arc};

use http::{HeaderValue, Request, header::CONTENT_TYPE};

use super::{
    call::OpenCall,
    clock::{self, NEVER},
    content_type::ContentType,
    handle::ResolveMethod,
    headers,
    layer::Hooks,
    nesting::CountedRequest,
    role::{ResetState, Role},
    timeout::{self, GRPC_TIMEOUT},
};
use crate::series::{MethodTable, Series, Store};

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

    /// Starts the call of this request. The result is empty if the call is not counted, or counted
    /// by a layer outside.
    #[inline(always)]
    pub(crate) fn start<R: Role, B>(
        &self,
        request: &mut Request<B>,
        hooks: Hooks,
        counted: &mut CountedRequest,
    ) -> OpenCall<R> {
        let [content_type, timeout] =
            headers::get_two(request.headers(), [&CONTENT_TYPE, &GRPC_TIMEOUT]);
        let series = match ContentType::of(content_type) {
            None => return OpenCall::uncounted(R::Reset::NONE),
            // Messages and status are base64-encoded, so the call is not counted.
            Some(ContentType::WebText) => None,
            Some(ContentType::Grpc | ContentType::Web) => self.series(request, hooks),
        };
        if let (Some(series), Some(header)) = (series, content_type) {
            *counted = CountedRequest::new(series, header);
        }
        let open: OpenCall<R> = match (series, hooks.share_reset) {
            (Some(_), _) if counted.is_current() => OpenCall::uncounted(R::Reset::NONE),
            (Some(series), _) => OpenCall::start(series, request, self.deadline(timeout)),
            (None, Some(_)) => OpenCall::uncounted(R::Reset::open()),
            (None, None) => OpenCall::uncounted(R::Reset::NONE),
        };
        if let (Some(share), Some(reset)) = (hooks.share_reset, open.reset().flag()) {
            // Moves one word, so that the address of the request does not escape.
            let mut extensions = mem::take(request.extensions_mut());
            share(&mut extensions, reset);
            *request.extensions_mut() = extensions;
        }
        open
    }

    /// The shorter of the caller's and the server's own timeout, in nanoseconds.
    #[inline(always)]
    fn deadline(&self, requested: Option<&HeaderValue>) -> u64 {
        let requested = requested.and_then(|value| timeout::parse(value.as_bytes()));
        requested.map_or(self.timeout, |requested| {
            clock::nanos(requested).min(self.timeout)
        })
    }

    #[inline(always)]
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
