//! The parts of a service, collected while it is built.

use std::convert::Infallible;
use std::fmt;
use std::future::Future;
use std::net::SocketAddr;
use std::time::Duration;

use axum::Router;
use futures_util::future::BoxFuture;
use grpc_prometheus::{ClientMetrics, ServerMetrics};
use http::{Request, Response, Uri};
use prometheus::Registry;
use tonic::body::Body;
use tonic::server::NamedService;

use crate::callee;
use crate::channel::Channel;
use crate::export::otlp::Resource;
use crate::heartbeat::{self, HeartbeatSettings};
use crate::process;
use crate::rest::Route;
use crate::routes::{Answer, RoutesBuilder};
use crate::runtime::reachable;
use crate::server::Service;
use crate::stack::BoxError;
use crate::tasks::Task;
use crate::telemetry::{self, LogSink};
use crate::trace::{TraceSettings, Tracer};

/// Collects the parts of a service while it is built.
pub struct Assembly {
    pub(crate) registry: Registry,
    name: &'static str,
    grpc: SocketAddr,
    instance: String,
    pub(crate) tracer: Tracer,
    pub(crate) server_metrics: ServerMetrics,
    client_metrics: ClientMetrics,
    pub(crate) routes: RoutesBuilder,
    pub(crate) http: Option<(Router, &'static [Route])>,
    pub(crate) tasks: Vec<Task>,
    pub(crate) on_stop: Vec<BoxFuture<'static, ()>>,
}

// === impl Assembly ===

impl Assembly {
    /// `grpc`: where it serves gRPC; `served`: the descriptor sets of all names that it serves;
    /// `timeout`: after which every call is over, so that a cancel by then is its deadline.
    pub(crate) fn new<S: Service>(
        registry: Registry,
        grpc: SocketAddr,
        served: &[&[u8]],
        timeout: Duration,
    ) -> Result<Self, BoxError> {
        let mut server = ServerMetrics::builder()
            .exclude_health_and_reflection(true)
            .exemplars(true)
            .timeout(timeout);
        for descriptor_set in served {
            server = server.descriptor_set(descriptor_set);
        }
        let mut client = ClientMetrics::builder().exemplars(true);
        for called in S::CALLS {
            client = client.descriptor_set(called.contract);
        }
        callee::register(&registry, S::CALLS)?;
        Ok(Self {
            name: S::NAME,
            grpc,
            instance: process::instance(),
            tracer: Tracer::default(),
            server_metrics: server.register(&registry)?,
            client_metrics: client.register(&registry)?,
            registry,
            routes: RoutesBuilder::default(),
            http: None,
            tasks: Vec::new(),
            on_stop: Vec::new(),
        })
    }

    /// Begins to record spans as `settings` say, from before the first channel is made, and to
    /// send the lines of `log`. What it gives sends the last ones.
    pub(crate) fn export(
        &mut self,
        settings: &TraceSettings,
        log: Option<&LogSink>,
    ) -> prometheus::Result<impl Future<Output = ()> + Send + use<>> {
        let resource = Resource::new(self.name, &self.instance);
        let (tracer, spans) = Tracer::start(settings, &resource, &self.registry)?;
        let lines = telemetry::export(log, settings.collector(), &resource, &self.registry)?;
        self.tracer = tracer;
        Ok(async {
            tokio::join!(spans, lines);
        })
    }

    /// The service's metrics; whatever is registered here is scraped.
    pub const fn registry(&self) -> &Registry {
        &self.registry
    }

    /// A channel to another service, see [`Channel`]. Calls take at most `timeout`. The service
    /// belongs into [`Service::CALLS`].
    pub fn channel(&self, uri: Uri, timeout: Duration) -> Channel {
        let metrics = self.client_metrics.layer();
        Channel::new(uri, timeout, metrics, self.tracer.clone())
    }

    /// A channel to this service's own gRPC port, for its REST side. The service itself belongs
    /// into [`Service::CALLS`].
    ///
    /// # Errors
    ///
    /// Where the port's address makes no URL, which no bound address does.
    pub fn own_channel(&self, timeout: Duration) -> Result<Channel, BoxError> {
        let address = SocketAddr::new(reachable(self.grpc.ip()), self.grpc.port());
        Ok(self.channel(format!("http://{address}").parse()?, timeout))
    }

    /// Serves a generated tonic server. Its contract belongs into [`Service::SERVES`].
    pub fn serve<T>(&mut self, service: T)
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
        self.routes.add_service(service);
    }

    /// Serves REST routes on [`Service::http_address`], and the metrics beside them. The series of
    /// those that are `known` are there from the start.
    pub fn serve_http(&mut self, routes: Router, known: &'static [Route]) {
        self.http = Some((routes, known));
    }

    /// Runs a task from start to stop.
    pub fn add_task(&mut self, task: Task) {
        self.tasks.push(task);
    }

    /// Sends heartbeats to the edge. [`heartbeat::EDGE`] belongs into [`Service::CALLS`].
    pub fn beat(&mut self, settings: &HeartbeatSettings) {
        let channel = self.channel(settings.edge_url.clone(), heartbeat::TIMEOUT);
        let metrics = self.server_metrics.clone();
        let task = heartbeat::task(self.name, self.instance.clone(), settings, channel, metrics);
        self.tasks.push(task);
    }

    /// Does something last on shutdown, when no call is left: at most 1 s.
    pub fn on_stop(&mut self, work: impl Future<Output = ()> + Send + 'static) {
        self.on_stop.push(Box::pin(work));
    }
}

impl fmt::Debug for Assembly {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Assembly")
            .field("name", &self.name)
            .field("tasks", &self.tasks)
            .finish_non_exhaustive()
    }
}
