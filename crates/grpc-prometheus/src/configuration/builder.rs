//! The builder of server and client metrics.

use std::{fmt, marker::PhantomData, sync::Arc, time::Duration};

use http::Extensions;

use super::{checks, descriptor, error::Error, side::Metric};
use crate::{
    exposition::Exposition,
    recording::Registration,
    series::{
        Buckets, CodeLabel, Config, ExtraLabel, Filter, LabelStyle, MethodTable, RpcConventions,
        Selection, Side, ZeroInit, check_types,
    },
};

/// Options of [`ServerMetrics`](crate::ServerMetrics) or [`ClientMetrics`](crate::ClientMetrics).
/// [`register`](Self::register) creates the metrics.
pub struct Builder<M> {
    descriptor_sets: Vec<Vec<u8>>,
    exclude_health_and_reflection: bool,
    filter: Option<Arc<Filter>>,
    namespace: Option<String>,
    const_labels: Vec<(String, String)>,
    extra_labels: Vec<ExtraLabel>,
    /// The first invalid metadata key.
    invalid_key: Option<String>,
    style: LabelStyle,
    code_label: CodeLabel,
    zero_init: Option<ZeroInit>,
    handling: Option<Buckets>,
    sizes: Option<Buckets>,
    pub(super) message_times: Option<Buckets>,
    pub(super) timeout: Option<Duration>,
    exemplars: bool,
    native: bool,
    start_timestamps: bool,
    conventions: RpcConventions,
    side: PhantomData<fn() -> M>,
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
            invalid_key: None,
            style: LabelStyle::default(),
            code_label: CodeLabel::default(),
            zero_init: None,
            handling: Some(Buckets::default()),
            sizes: None,
            message_times: None,
            timeout: None,
            exemplars: false,
            native: false,
            start_timestamps: false,
            conventions: RpcConventions::default(),
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
    /// Adds the methods of an encoded `FileDescriptorSet`. Can be called repeatedly.
    pub fn descriptor_set(mut self, bytes: &[u8]) -> Self {
        self.descriptor_sets.push(bytes.to_vec());
        self
    }

    /// Excludes `grpc.health.v1.Health` and server reflection. Default: `false`.
    pub const fn exclude_health_and_reflection(mut self, exclude: bool) -> Self {
        self.exclude_health_and_reflection = exclude;
        self
    }

    /// Excludes methods for which `filter(service, method)` returns `false`. Default: no method.
    ///
    /// Their calls are not counted, not even as `unknown`.
    pub fn filter(mut self, filter: impl Fn(&str, &str) -> bool + Send + Sync + 'static) -> Self {
        self.filter = Some(Arc::new(filter));
        self
    }

    /// Prefixes every metric name with `{namespace}_`. Default: no prefix.
    pub fn namespace(mut self, namespace: impl Into<String>) -> Self {
        self.namespace = Some(namespace.into());
        self
    }

    /// Adds a label with a constant value to every series. Can be called repeatedly.
    pub fn const_label(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.const_labels.push((name.into(), value.into()));
        self
    }

    /// Adds a label whose value is that of the request's metadata `key`, if it is one of `values`,
    /// and `default` otherwise.
    ///
    /// Can be called repeatedly. The label sets of a method are the product of all allowed values,
    /// defaults included: at most 1,024.
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
            None => self.invalid_key = self.invalid_key.or_else(|| Some(key.to_owned())),
        }
        self
    }

    /// Like [`metadata_label`](Self::metadata_label), but takes the value from the request's
    /// extensions.
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

    /// Whether and how the handling-time histogram has the label `grpc_code`. Default:
    /// [`CodeLabel::None`].
    pub const fn code_on_histogram(mut self, code_label: CodeLabel) -> Self {
        self.code_label = code_label;
        self
    }

    /// Which series exist before the first call. Default: [`ZeroInit::All`], or [`ZeroInit::None`]
    /// with extra labels.
    pub const fn zero_init(mut self, zero_init: ZeroInit) -> Self {
        self.zero_init = Some(zero_init);
        self
    }

    /// Bucket bounds of `grpc_{side}_handling_seconds`. Default: [`Buckets::Fine`].
    pub fn handling_buckets(mut self, buckets: Buckets) -> Self {
        self.handling = Some(buckets);
        self
    }

    /// Disables `grpc_{side}_handling_seconds`. Default: enabled.
    pub fn without_handling_histogram(mut self) -> Self {
        self.handling = None;
        self
    }

    /// Enables `grpc_{side}_msg_size_{received,sent}_bytes`: sizes of messages on the wire, that is
    /// compressed and without the five-byte prefix. Default: off. [`Buckets::A66Bytes`] has the
    /// usual bounds.
    pub fn message_sizes(mut self, buckets: Buckets) -> Self {
        self.sizes = Some(buckets);
        self
    }

    /// Enables exemplars: each bucket of the handling-time histogram has the trace id of its last
    /// sampled call, in the OpenMetrics format. Default: `false`.
    ///
    /// The id is taken from a [`TraceId`](crate::TraceId) in the request's extensions, else from
    /// the `traceparent` header if sampled, else from a `TraceId` in the response's extensions.
    pub const fn exemplars(mut self, exemplars: bool) -> Self {
        self.exemplars = exemplars;
        self
    }

    /// Gives every histogram native (exponential) buckets beside its classic ones. Default: `false`.
    ///
    /// They are on the page that [`Exposition::respond`](crate::Exposition::respond) gives to clients
    /// which prefer protobuf, such as a Prometheus with native histograms enabled. Each bound is 9 %
    /// above the last (schema 3), for times from 1 µs to 36 hours and for sizes up to 4 GiB. A call
    /// costs the same, but a series takes 2.8 kB per shard instead of 0.4 kB.
    pub const fn native_histograms(mut self, native: bool) -> Self {
        self.native = native;
        self
    }

    /// Shows when each counter and histogram started at zero: as `_created` samples in OpenMetrics,
    /// and in protobuf. Default: `false`.
    pub const fn start_timestamps(mut self, start_timestamps: bool) -> Self {
        self.start_timestamps = start_timestamps;
        self
    }

    /// Shows the handling-time histogram under the names of go-grpc-prometheus, under OpenTelemetry's
    /// stable ones, or both. Default: [`RpcConventions::Grpc`].
    ///
    /// With the stable names a series has one histogram per code, as with [`CodeLabel::Full`]. The
    /// other families have no stable counterpart and stay.
    pub const fn rpc_conventions(mut self, conventions: RpcConventions) -> Self {
        self.conventions = conventions;
        self
    }

    /// Checks the options, and creates and registers the metrics.
    ///
    /// Registrations in one exposition with the same names and constant labels share their series.
    /// They may differ in descriptor sets and filters only.
    ///
    /// Registered metrics live as long as the process, even if the registry is dropped: calls refer
    /// to them without reference counting, which would cost more than the look-up.
    ///
    /// # Errors
    ///
    /// If an option is invalid, or if the registration conflicts with another one: see [`Error`].
    pub fn register(self, exposition: &Exposition) -> Result<M, Error> {
        let mut specs = Vec::new();
        for set in &self.descriptor_sets {
            specs.append(&mut descriptor::methods(set).map_err(Error::DescriptorSet)?);
        }
        let learns = self.descriptor_sets.is_empty() && M::SIDE == Side::Client;
        let selection = Selection {
            exclude_health_and_reflection: self.exclude_health_and_reflection,
            filter: self.filter.clone().unwrap_or_else(|| Arc::new(|_, _| true)),
        };
        let style = self.style;
        let conflict = |conflict| Error::method_type(conflict, style);
        // Before the store, so that an error leaves no trace.
        check_types(selection.counted(&specs).into_iter()).map_err(conflict)?;
        let store = exposition.store(self.config()?)?;
        let table = MethodTable::new(&store, &specs, &selection, learns).map_err(conflict)?;
        let registration = Registration::new(store, table);
        Ok(M::new(Box::leak(Box::new(registration))))
    }

    fn config(mut self) -> Result<Config, Error> {
        checks::labels(&self.const_labels, &self.extra_labels, self.conventions)?;
        if let Some(key) = self.invalid_key {
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
            native: self.native,
            start_timestamps: self.start_timestamps,
            conventions: self.conventions,
        })
    }
}

fn allowed<V: Into<String>>(default: String, values: impl IntoIterator<Item = V>) -> Vec<String> {
    let values = values.into_iter().map(Into::into);
    [default].into_iter().chain(values).collect()
}
