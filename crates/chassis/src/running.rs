//! A service that serves, and how it stops.

use std::fmt;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::future::{BoxFuture, join_all};
use http::{Request, Response};
use http_body::Body;
use hyper::body::Incoming;
use prometheus::Registry;
use tokio::task::JoinSet;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use crate::config::Settings;
use crate::health::Health;
use crate::listener::Listener;
use crate::methods::Methods;
use crate::scrape::{Phase, Readiness, Scrape};
use crate::server::Addresses;
use crate::stack::BoxError;
use crate::tasks::{Task, Tasks};

/// How long what is done last may take: closing stores, closing the scrape port.
const LAST_STEPS: Duration = Duration::from_secs(1);

/// A started service. Dropped without [`Running::stop`], its connections are cut.
pub struct Running {
    name: &'static str,
    addresses: Addresses,
    settings: Settings,
    health: Health,
    readiness: Readiness,
    drain: CancellationToken,
    servers: JoinSet<io::Result<()>>,
    scrape: Option<Scrape>,
    tasks: Option<Tasks>,
    on_stop: Vec<BoxFuture<'static, ()>>,
}

impl Running {
    pub(crate) fn new(
        name: &'static str,
        addresses: Addresses,
        settings: Settings,
        health: Health,
    ) -> Self {
        Self {
            name,
            addresses,
            settings,
            health,
            readiness: Readiness::default(),
            drain: CancellationToken::new(),
            servers: JoinSet::new(),
            scrape: None,
            tasks: None,
            on_stop: Vec::new(),
        }
    }

    pub(crate) fn serve<S, B>(&mut self, listener: Listener, service: S, methods: Methods)
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
        let drain = self.drain.clone();
        self.servers
            .spawn(listener.serve(service, Arc::new(methods), drain));
    }

    pub(crate) fn scrape(&mut self, listener: Listener, registry: Registry) -> io::Result<()> {
        let readiness = self.readiness.clone();
        self.scrape = Some(Scrape::start(listener, self.name, registry, readiness)?);
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

    /// Where the service is served.
    pub const fn addresses(&self) -> Addresses {
        self.addresses
    }

    /// Stops the service in order: health says NOT_SERVING; calls are taken for a lame duck's
    /// time; connections are told to go away and calls end, up to the drain timeout; the scrape
    /// port closes last. With the default settings this takes at most 13 s.
    pub async fn stop(mut self) {
        tracing::info!(service = self.name, "stopping");
        self.readiness.set(Phase::Draining);
        self.health.leave().await;
        tokio::join!(
            tokio::time::sleep(self.settings.lame_duck),
            stop_tasks(self.tasks.take()),
        );
        self.drain.cancel();
        self.health.end_watches().await;
        let drained = timeout(self.settings.drain_timeout, async {
            while self.servers.join_next().await.is_some() {}
        });
        if drained.await.is_err() {
            tracing::warn!(service = self.name, "calls were cut at the drain timeout");
        }
        self.servers.shutdown().await;
        let last = timeout(LAST_STEPS, join_all(self.on_stop));
        if last.await.is_err() {
            tracing::warn!(service = self.name, "a last step took too long");
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
