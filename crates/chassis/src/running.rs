//! A running service and its shutdown.

use std::fmt;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::future::{BoxFuture, join_all};
use grpc_prometheus::Exposition;
use http::{Request, Response};
use http_body::Body;
use hyper::body::Incoming;
use prometheus::Registry;
use tokio::task::JoinSet;
use tokio::time::timeout;
use tower::BoxError;
use vitalmesh_context::ServiceContext;
use vitalmesh_server::{Contracts, Health, Listener, Methods, Phase, Readiness, Scrape, Shutdown};
use vitalmesh_tasks::{Task, Tasks};

use crate::service::Addresses;
use crate::settings::Settings;

/// The timeout of each final step: closing stores, closing the scrape port.
const LAST_STEPS: Duration = Duration::from_secs(1);

/// A running service. Dropping it without [`Running::stop`] closes its connections at once.
pub struct Running {
    name: &'static str,
    addresses: Addresses,
    lame_duck: Duration,
    drain_timeout: Duration,
    contracts: Contracts,
    health: Health,
    readiness: Readiness,
    shutdown: Shutdown,
    servers: JoinSet<io::Result<()>>,
    scrape: Option<Scrape>,
    tasks: Option<Tasks>,
    on_stop: Vec<BoxFuture<'static, ()>>,
}

impl Running {
    pub(crate) fn new(
        name: &'static str,
        addresses: Addresses,
        settings: &Settings,
        contracts: Contracts,
        health: Health,
    ) -> Self {
        Self {
            name,
            addresses,
            lame_duck: settings.lame_duck,
            drain_timeout: settings.drain_timeout,
            contracts,
            health,
            readiness: Readiness::default(),
            shutdown: Shutdown::default(),
            servers: JoinSet::new(),
            scrape: None,
            tasks: None,
            on_stop: Vec::new(),
        }
    }

    pub(crate) fn serve<S, B>(&mut self, listener: Listener, service: S, methods: Arc<Methods>)
    where
        S: tower::Service<
                Request<Incoming>,
                Response = Response<B>,
                Error: Into<BoxError>,
                Future: Send,
            > + Clone
            + Send
            + Sync
            + 'static,
        B: Body<Data = Bytes, Error: Into<BoxError>> + Send + 'static,
    {
        let shutdown = self.shutdown.clone();
        self.servers
            .spawn(ServiceContext::current().scope(listener.serve(service, methods, shutdown)));
    }

    pub(crate) fn scrape(&mut self, listener: Listener, exposition: Exposition) -> io::Result<()> {
        let readiness = self.readiness.clone();
        self.scrape = Some(Scrape::start(listener, self.name, exposition, readiness)?);
        Ok(())
    }

    pub(crate) async fn run(
        &mut self,
        tasks: Vec<Task>,
        registry: &Registry,
    ) -> Result<(), BoxError> {
        self.tasks = Some(Tasks::start(tasks, registry).await?);
        Ok(())
    }

    pub(crate) fn finish(&mut self, on_stop: Vec<BoxFuture<'static, ()>>) {
        self.on_stop = on_stop;
        self.readiness.set(Phase::Serving);
        let Addresses { grpc, http, scrape } = self.addresses;
        let http = http.map(tracing::field::display);
        tracing::info!(service = self.name, %grpc, http, %scrape, "serving");
    }

    /// The service's name.
    pub const fn name(&self) -> &'static str {
        self.name
    }

    /// The addresses of its ports.
    pub const fn addresses(&self) -> Addresses {
        self.addresses
    }

    /// The registered contracts.
    pub const fn contracts(&self) -> &Contracts {
        &self.contracts
    }

    /// Stops the service in order: health reports NOT_SERVING; open connections get GOAWAY or
    /// `Connection: close`, and new connections and calls are accepted for `--lame-duck`; the ports
    /// close and calls complete, up to `--drain-timeout`; stores close; the scrape port closes last.
    /// With the default settings this takes at most 13 s.
    pub async fn stop(mut self) {
        tracing::info!(service = self.name, "stopping");
        self.readiness.set(Phase::Draining);
        self.health.set_not_serving();
        self.shutdown.begin_lame_duck();
        if let Some(scrape) = &self.scrape {
            scrape.begin_lame_duck();
        }
        tokio::join!(
            tokio::time::sleep(self.lame_duck),
            stop_tasks(self.tasks.take()),
        );
        self.shutdown.begin_drain();
        self.health.end_watches();
        let drained = timeout(self.drain_timeout, async {
            while self.servers.join_next().await.is_some() {}
        });
        if drained.await.is_err() {
            tracing::warn!(service = self.name, "calls were cut at the drain timeout");
        }
        self.servers.shutdown().await;
        let last = timeout(LAST_STEPS, join_all(self.on_stop));
        if last.await.is_err() {
            tracing::warn!(service = self.name, "a final step exceeded its timeout");
        }
        if let Some(scrape) = self.scrape {
            let _ = timeout(LAST_STEPS, scrape.stop()).await;
        }
        tracing::info!(service = self.name, "stopped");
    }
}

impl fmt::Debug for Running {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Running")
            .field("name", &self.name)
            .field("addresses", &self.addresses)
            .finish_non_exhaustive()
    }
}

async fn stop_tasks(tasks: Option<Tasks>) {
    if let Some(tasks) = tasks {
        tasks.stop().await;
    }
}
