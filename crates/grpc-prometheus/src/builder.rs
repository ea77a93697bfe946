//! Configuration of the metrics of one side.

use std::{fmt, marker::PhantomData, sync::Arc};

use prometheus::Registry;

use crate::{
    Buckets, ClientMetrics, CodeLabel, Error, LabelStyle, ServerMetrics, ZeroInit, collector,
    descriptor::{self, MethodSpec},
    families::Side,
    methods::Table,
    metrics::Metrics,
    store::Config,
};

type Filter = Box<dyn Fn(&str, &str) -> bool>;

/// Configuration of [`ServerMetrics`] or [`ClientMetrics`]; ends in [`register`](Self::register).
pub struct Builder<M> {
    descriptor_sets: Vec<Vec<u8>>,
    exclude_health_and_reflection: bool,
    filter: Option<Filter>,
    namespace: Option<String>,
    const_labels: Vec<(String, String)>,
    style: LabelStyle,
    code_label: CodeLabel,
    zero_init: Option<ZeroInit>,
    handling: Option<Buckets>,
    sizes: Option<Buckets>,
    message_times: Option<Buckets>,
    side: PhantomData<fn() -> M>,
}

/// The two sides of a call.
pub trait Metric: sealed::Sealed {}

impl Metric for ServerMetrics {}
impl Metric for ClientMetrics {}

mod sealed {
    use std::sync::Arc;

    use crate::{ClientMetrics, ServerMetrics, families::Side, metrics::Metrics};

    pub trait Sealed {
        #[expect(private_interfaces, reason = "nobody else can name this trait")]
        const SIDE: Side;
        #[expect(private_interfaces, reason = "nobody else can name this trait")]
        fn new(metrics: Arc<Metrics>) -> Self;
    }

    impl Sealed for ServerMetrics {
        #[expect(private_interfaces, reason = "nobody else can name this trait")]
        const SIDE: Side = Side::Server;
        #[expect(private_interfaces, reason = "nobody else can name this trait")]
        fn new(metrics: Arc<Metrics>) -> Self {
            Self::new(metrics)
        }
    }

    impl Sealed for ClientMetrics {
        #[expect(private_interfaces, reason = "nobody else can name this trait")]
        const SIDE: Side = Side::Client;
        #[expect(private_interfaces, reason = "nobody else can name this trait")]
        fn new(metrics: Arc<Metrics>) -> Self {
            Self::new(metrics)
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
            style: LabelStyle::default(),
            code_label: CodeLabel::default(),
            zero_init: None,
            handling: Some(Buckets::default()),
            sizes: None,
            message_times: None,
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
    pub fn filter(mut self, keep: impl Fn(&str, &str) -> bool + 'static) -> Self {
        self.filter = Some(Box::new(keep));
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

    /// Makes the metrics and registers them.
    ///
    /// Several registrations with equal options on one registry share one set of series.
    ///
    /// # Errors
    ///
    /// Whatever is wrong with the configuration is told here, never later: see [`Error`].
    pub fn register(mut self, registry: &Registry) -> Result<M, Error> {
        let specs = self.specs()?;
        self.const_labels.sort();
        let filter = self.filter.take();
        let exclude = self.exclude_health_and_reflection;
        let store = collector::register(self.config(), registry)?;
        let keep = |service: &str, method: &str| filter.as_ref().is_none_or(|f| f(service, method));
        let table = Table::new(&store, &specs, exclude, keep);
        Ok(M::new(Arc::new(Metrics { store, table })))
    }

    fn specs(&self) -> Result<Vec<MethodSpec>, Error> {
        let mut specs = Vec::new();
        for set in &self.descriptor_sets {
            specs.append(&mut descriptor::methods(set)?);
        }
        Ok(specs)
    }

    fn config(self) -> Config {
        Config {
            side: M::SIDE,
            namespace: self.namespace,
            const_labels: self.const_labels,
            style: self.style,
            code_label: self.code_label,
            zero_init: self.zero_init.unwrap_or_default(),
            handling: self.handling,
            sizes: self.sizes,
            message_times: self.message_times.filter(|_| M::SIDE == Side::Client),
        }
    }
}
