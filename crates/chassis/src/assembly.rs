//! The parts of a service, registered while it is built.

use std::convert::Infallible;
use std::fmt;
use std::future::Future;
use std::net::SocketAddr;
use std::time::Duration;

use axum::Router;
use futures_util::future::BoxFuture;
use grpc_prometheus::{ClientMetrics, Exposition, RpcConventions, ServerMetrics};
use http::{Request, Response, Uri};
use prometheus::Registry;
use tonic::body::Body;
use tonic::server::NamedService;
use tower::BoxError;
use vitalmesh_client::Channel;
use vitalmesh_server::{Answer, LegacyContract, Route, ServiceError, Services};
use vitalmesh_tasks::Task;
use vitalmesh_telemetry::{LogSink, Resource, TraceSettings, Tracer, export_log};

use crate::address::reachable;
use crate::process::{self, VERSION};
use crate::settings::Settings;
use crate::upstream::{Upstream, UpstreamInfo};

/// Registers the parts of a service while it is built.
pub struct Assembly {
    exposition: Exposition,
    name: &'static str,
    instance: String,
    grpc: SocketAddr,
    totals: ServerMetrics,
    rpc_conventions: RpcConventions,
    native_histograms: bool,
    upstreams: UpstreamInfo,
    pub(crate) tracer: Tracer,
    pub(crate) services: Services,
    pub(crate) http: Option<(Router, &'static [Route])>,
    pub(crate) tasks: Vec<Task>,
    pub(crate) on_stop: Vec<BoxFuture<'static, ()>>,
}

// === impl Assembly ===

impl Assembly {
    /// `grpc` is the address of the gRPC port.
    pub(crate) fn new(
        name: &'static str,
        grpc: SocketAddr,
        settings: &Settings,
        exposition: Exposition,
    ) -> Result<Self, BoxError> {
        Ok(Self {
            name,
            instance: settings
                .instance_id
                .clone()
                .unwrap_or_else(|| process::instance(grpc)),
            grpc,
            totals: server_metrics(&[], settings, &exposition)?,
            rpc_conventions: settings.rpc_conventions,
            native_histograms: settings.native_histograms,
            upstreams: UpstreamInfo::register(exposition.registry())?,
            tracer: Tracer::default(),
            exposition,
            services: Services::default(),
            http: None,
            tasks: Vec::new(),
            on_stop: Vec::new(),
        })
    }

    /// Starts to export spans and the lines of `log`. The returned future flushes both.
    pub(crate) fn export(
        &mut self,
        settings: &TraceSettings,
        log: Option<&LogSink>,
    ) -> prometheus::Result<impl Future<Output = ()> + Send + use<>> {
        let resource = Resource::new(self.name, VERSION, &self.instance);
        let (tracer, spans) = Tracer::start(settings, &resource, self.registry())?;
        let lines = export_log(log, settings.collector(), &resource, self.registry())?;
        self.tracer = tracer;
        Ok(async {
            tokio::join!(spans, lines);
        })
    }

    /// The metrics of all registered services. They share their series with [`Assembly::totals`].
    pub(crate) fn server_metrics(&self, settings: &Settings) -> Result<ServerMetrics, BoxError> {
        let sets = self.services.descriptor_sets(settings.legacy_names);
        server_metrics(&sets, settings, &self.exposition)
    }

    /// The service's name.
    pub const fn name(&self) -> &'static str {
        self.name
    }

    /// The id of this instance: `--instance-id`, or host and gRPC port. A restart keeps it.
    pub fn instance(&self) -> &str {
        &self.instance
    }

    /// The registry that the scrape port serves. Register the service's own metrics here.
    pub fn registry(&self) -> &Registry {
        self.exposition.registry()
    }

    /// Totals of the service's gRPC server metrics, to read without a scrape.
    pub const fn totals(&self) -> &ServerMetrics {
        &self.totals
    }

    /// Serves a generated tonic server. `descriptor_set` is the `FILE_DESCRIPTOR_SET` of its
    /// contract: metrics, health, reflection, timeouts and routes follow from it.
    ///
    /// # Errors
    ///
    /// If the set does not describe the service, or the service is registered already.
    pub fn serve<T>(
        &mut self,
        descriptor_set: &'static [u8],
        service: T,
    ) -> Result<(), ServiceError>
    where
        T: tower::Service<
                Request<Body>,
                Response = Response<Body>,
                Error = Infallible,
                Future = Answer,
            > + NamedService
            + Clone
            + Send
            + Sync
            + 'static,
    {
        self.services.serve(descriptor_set, service)
    }

    /// Serves contracts of older clients, unless `--legacy-names` is off. They are checked when
    /// [`Service::build`](crate::Service::build) has returned.
    pub fn serve_legacy(&mut self, contracts: impl IntoIterator<Item = LegacyContract>) {
        contracts
            .into_iter()
            .for_each(|contract| self.services.serve_legacy(contract));
    }

    /// A channel to another service. Calls take at most `timeout`.
    ///
    /// Registers the upstream's client metrics, and its gRPC services in
    /// `mesh_client_target_info`.
    ///
    /// # Errors
    ///
    /// If the upstream's descriptor set cannot be decoded.
    pub fn channel(
        &self,
        upstream: Upstream,
        uri: Uri,
        timeout: Duration,
    ) -> Result<Channel, BoxError> {
        self.upstreams.add(upstream)?;
        let metrics = ClientMetrics::builder()
            .exemplars(true)
            .rpc_conventions(self.rpc_conventions)
            .native_histograms(self.native_histograms)
            .descriptor_set(upstream.contract)
            .register(&self.exposition)?;
        Ok(Channel::new(
            uri,
            timeout,
            metrics.layer(),
            self.tracer.clone(),
        ))
    }

    /// A channel to the service's own gRPC port, for its REST API.
    ///
    /// # Errors
    ///
    /// If the descriptor set cannot be decoded.
    pub fn own_channel(
        &self,
        descriptor_set: &'static [u8],
        timeout: Duration,
    ) -> Result<Channel, BoxError> {
        let address = SocketAddr::new(reachable(self.grpc.ip()), self.grpc.port());
        let upstream = Upstream {
            name: self.name,
            contract: descriptor_set,
        };
        self.channel(upstream, format!("http://{address}").parse()?, timeout)
    }

    /// Serves REST routes and `/prometheus/metrics` on
    /// [`Service::http_address`](crate::Service::http_address). The series of `known` routes start
    /// at 0.
    pub fn serve_http(&mut self, routes: Router, known: &'static [Route]) {
        self.http = Some((routes, known));
    }

    /// Runs a task while the service runs.
    pub fn add_task(&mut self, task: Task) {
        self.tasks.push(task);
    }

    /// Runs `work` on shutdown, after the last call. It has 1 s.
    pub fn on_stop(&mut self, work: impl Future<Output = ()> + Send + 'static) {
        self.on_stop.push(Box::pin(work));
    }
}

impl fmt::Debug for Assembly {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Assembly")
            .field("name", &self.name)
            .field("services", &self.services)
            .field("tasks", &self.tasks)
            .finish_non_exhaustive()
    }
}

/// The settings must be equal in all registrations in one exposition.
fn server_metrics(
    descriptor_sets: &[&[u8]],
    settings: &Settings,
    exposition: &Exposition,
) -> Result<ServerMetrics, BoxError> {
    let mut builder = ServerMetrics::builder()
        .exclude_health_and_reflection(true)
        .exemplars(true)
        .rpc_conventions(settings.rpc_conventions)
        .native_histograms(settings.native_histograms)
        // Every call is over by then, so a later cancel is this deadline.
        .timeout(settings.call_timeout.max(settings.stream_timeout));
    for descriptor_set in descriptor_sets {
        builder = builder.descriptor_set(descriptor_set);
    }
    Ok(builder.register(exposition)?)
}
