//! Configuration of the metrics of one side.

use std::{fmt, marker::PhantomData, sync::Arc, time::Duration};

use super::{
    checks, descriptor,
    error::Error,
    metrics::{ClientMetrics, ServerMetrics},
};
use crate::{
    exposition::Exposition,
    recording::Registration,
    series::{Buckets, CodeLabel, Config, ExtraLabel, Keep, LabelStyle, Side, Table, ZeroInit},
};
use http::Extensions;

/// Configuration of [`ServerMetrics`] or [`ClientMetrics`]; ends in [`register`](Self::register).
pub struct Builder<M> {
    descriptor_sets: Vec<Vec<u8>>,
    exclude_health_and_reflection: bool,
    filter: Option<Arc<Keep>>,
    namespace: Option<String>,
    const_labels: Vec<(String, String)>,
    extra_labels: Vec<ExtraLabel>,
    /// The first metadata key that is none.
    illegal_key: Option<String>,
    style: LabelStyle,
    code_label: CodeLabel,
    zero_init: Option<ZeroInit>,
    handling: Option<Buckets>,
    sizes: Option<Buckets>,
    message_times: Option<Buckets>,
    timeout: Option<Duration>,
    exemplars: bool,
    side: PhantomData<fn() -> M>,
}

/// The two sides of a call.
pub trait Metric: sealed::Sealed {}

impl Metric for ServerMetrics {}
impl Metric for ClientMetrics {}

mod sealed {
    use super::{ClientMetrics, Registration, ServerMetrics, Side};

    pub trait Sealed {
        #[expect(private_interfaces, reason = "nobody else can name this trait")]
        const SIDE: Side;
        #[expect(private_interfaces, reason = "nobody else can name this trait")]
        fn new(registration: &'static Registration) -> Self;
    }

    impl Sealed for ServerMetrics {
        #[expect(private_interfaces, reason = "nobody else can name this trait")]
        const SIDE: Side = Side::Server;
        #[expect(private_interfaces, reason = "nobody else can name this trait")]
        fn new(registration: &'static Registration) -> Self {
            Self::new(registration)
        }
    }

    impl Sealed for ClientMetrics {
        #[expect(private_interfaces, reason = "nobody else can name this trait")]
        const SIDE: Side = Side::Client;
        #[expect(private_interfaces, reason = "nobody else can name this trait")]
        fn new(registration: &'static Registration) -> Self {
            Self::new(registration)
        }
    }
}

// === impl Builder ===

impl<M> Default for Builder<M> {
    fn default() -> Self {
        Self {
            descriptor_sets: Vec::new(),
            exclude_health_and_reflection: false,
            filter: None,
            namespace: None,
            const_labels: Vec::new(),
            extra_labels: Vec::new(),
            illegal_key: None,
            style: LabelStyle::default(),
            code_label: CodeLabel::default(),
            zero_init: None,
            handling: Some(Buckets::default()),
            sizes: None,
            message_times: None,
            timeout: None,
            exemplars: false,
            side: PhantomData,
        }
    }
}

impl<M> fmt::Debug for Builder<M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Builder").finish_non_exhaustive()
    }
}

impl<M: Metric> Builder<M> {
    /// Adds the methods of an encoded `FileDescriptorSet`; may be called many times.
    pub fn descriptor_set(mut self, bytes: &[u8]) -> Self {
        self.descriptor_sets.push(bytes.to_vec());
        self
    }

    /// Leaves out `grpc.health.v1.Health` and server reflection. Default: `false`.
    pub const fn exclude_health_and_reflection(mut self, exclude: bool) -> Self {
        self.exclude_health_and_reflection = exclude;
        self
    }

    /// Leaves out the methods of the descriptor sets for which `keep(service, method)` is false.
    ///
    /// Their calls are not counted at all, not even as `unknown`.
    pub fn filter(mut self, keep: impl Fn(&str, &str) -> bool + Send + Sync + 'static) -> Self {
        self.filter = Some(Arc::new(keep));
        self
    }

    /// Puts `{namespace}_` before every name. Default: nothing.
    pub fn namespace(mut self, namespace: impl Into<String>) -> Self {
        self.namespace = Some(namespace.into());
        self
    }

    /// Adds a label with the same value on every series; may be called many times.
    pub fn const_label(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.const_labels.push((name.into(), value.into()));
        self
    }

    /// Adds a label with the value of the metadata `key` of the request if it is one of `values`,
    /// else `default`. May be called many times; the label sets of one method are the product of
    /// all allowed values, at most 1,024.
    pub fn metadata_label<V: Into<String>>(
        mut self,
        name: impl Into<String>,
        key: &str,
        values: impl IntoIterator<Item = V>,
        default: impl Into<String>,
    ) -> Self {
        let values = allowed(default.into(), values);
        match ExtraLabel::from_metadata(name.into(), key, values) {
            Some(label) => self.extra_labels.push(label),
            None => self.illegal_key = self.illegal_key.or_else(|| Some(key.to_owned())),
        }
        self
    }

    /// As [`metadata_label`](Self::metadata_label), with a value from the request's extensions.
    pub fn extension_label<V: Into<String>>(
        mut self,
        name: impl Into<String>,
        value: impl for<'a> Fn(&'a Extensions) -> Option<&'a str> + Send + Sync + 'static,
        values: impl IntoIterator<Item = V>,
        default: impl Into<String>,
    ) -> Self {
        let values = allowed(default.into(), values);
        let label = ExtraLabel::from_extensions(name.into(), Arc::new(value), values);
        self.extra_labels.push(label);
        self
    }

    /// Spelling of `grpc_type` and `grpc_code`. Default: [`LabelStyle::Go`].
    pub const fn label_style(mut self, style: LabelStyle) -> Self {
        self.style = style;
        self
    }

    /// Whether the handling-time histogram carries the code. Default: [`CodeLabel::None`].
    pub const fn code_on_histogram(mut self, code_label: CodeLabel) -> Self {
        self.code_label = code_label;
        self
    }

    /// Which series exist before the first call. Default: see [`ZeroInit`].
    pub const fn zero_init(mut self, zero_init: ZeroInit) -> Self {
        self.zero_init = Some(zero_init);
        self
    }

    /// Bounds of `grpc_{side}_handling_seconds`. Default: [`Buckets::Fine`].
    pub fn handling_buckets(mut self, buckets: Buckets) -> Self {
        self.handling = Some(buckets);
        self
    }

    /// Leaves out `grpc_{side}_handling_seconds`.
    pub fn without_handling_histogram(mut self) -> Self {
        self.handling = None;
        self
    }

    /// Adds `grpc_{side}_msg_size_{received,sent}_bytes`, the sizes of messages as on the wire
    /// (compressed, without the five bytes before each). Default: off; the usual bounds are
    /// [`Buckets::A66Bytes`].
    pub fn message_sizes(mut self, buckets: Buckets) -> Self {
        self.sizes = Some(buckets);
        self
    }

    /// Shows the trace id of the last sampled call of each bucket of the handling-time histogram,
    /// in the OpenMetrics format only. Default: `false`.
    ///
    /// The id is a [`TraceId`](crate::TraceId) in the extensions of the request, else its
    /// `traceparent` header if sampled, else a `TraceId` in the extensions of the response.
    pub const fn exemplars(mut self, exemplars: bool) -> Self {
        self.exemplars = exemplars;
        self
    }

    /// Makes the metrics and registers them.
    ///
    /// Registrations on one exposition under the same names and constant labels share one set of
    /// series; they may differ in descriptor sets and filters.
    ///
    /// What is registered lives as long as the process, also when the registry does not: a call
    /// points to it, and to count who does would cost each call more than to find it.
    ///
    /// # Errors
    ///
    /// Whatever is wrong with the configuration is told here, never later: see [`Error`].
    pub fn register(self, exposition: &Exposition) -> Result<M, Error> {
        let mut specs = Vec::new();
        for set in &self.descriptor_sets {
            specs.append(&mut descriptor::methods(set)?);
        }
        let open = self.descriptor_sets.is_empty() && M::SIDE == Side::Client;
        let exclude = self.exclude_health_and_reflection;
        let keep = self.filter.clone().unwrap_or_else(|| Arc::new(|_, _| true));
        let store = exposition.store(self.config()?)?;
        let table = Table::new(&store, &specs, exclude, keep, open);
        let registration = Registration::new(store, table);
        Ok(M::new(Box::leak(Box::new(registration))))
    }

    fn config(mut self) -> Result<Config, Error> {
        checks::labels(&self.const_labels, &self.extra_labels)?;
        if let Some(key) = self.illegal_key {
            return Err(Error::MetadataKey { key });
        }
        checks::namespace(self.namespace.as_deref())?;
        checks::buckets("handling_seconds", self.handling.as_ref())?;
        checks::buckets("msg_size_bytes", self.sizes.as_ref())?;
        checks::buckets("msg_handling_seconds", self.message_times.as_ref())?;
        let zero_init = match self.extra_labels[..] {
            [] => ZeroInit::All,
            _ => ZeroInit::None,
        };
        self.const_labels.sort();
        Ok(Config {
            side: M::SIDE,
            namespace: self.namespace,
            const_labels: self.const_labels,
            extra_labels: self.extra_labels,
            style: self.style,
            code_label: self.code_label,
            zero_init: self.zero_init.unwrap_or(zero_init),
            handling: self.handling,
            sizes: self.sizes,
            message_times: self.message_times,
            timeout: self.timeout,
            exemplars: self.exemplars,
        })
    }
}

impl Builder<ServerMetrics> {
    /// Says that the server ends calls after this time, as tonic's `Server::timeout` does: a call
    /// that is cancelled then is `DeadlineExceeded`, as after its `grpc-timeout`. Default: none.
    pub const fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = Some(timeout);
        self
    }
}

impl Builder<ClientMetrics> {
    /// Adds `grpc_client_msg_recv_handling_seconds`, how long the reader waited for each message,
    /// and `grpc_client_msg_send_handling_seconds`, how long each message waited for the
    /// transport to ask for more. Default: off; the usual bounds are [`Buckets::Fine`].
    pub fn message_times(mut self, buckets: Buckets) -> Self {
        self.message_times = Some(buckets);
        self
    }
}

fn allowed<V: Into<String>>(default: String, values: impl IntoIterator<Item = V>) -> Vec<String> {
    let values = values.into_iter().map(Into::into);
    [default].into_iter().chain(values).collect()
}
