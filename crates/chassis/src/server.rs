//! A service: what it is made of, how it starts and how it stops.

use std::future::Future;
use std::net::SocketAddr;
use std::time::Duration;

use prometheus::{IntCounter, Registry};

use crate::alias::{self, Alias, AliasError, LegacyContract};
use crate::assembly::Assembly;
use crate::callee::Callee;
use crate::config::{Settings, one_line};
use crate::listener::{Limits, Listener};
use crate::methods::Methods;
use crate::running::Running;
use crate::stack::echo::EchoLayer;
use crate::stack::limit::LimitLayer;
use crate::stack::panic::CatchPanicLayer;
use crate::stack::span::SpanLayer;
use crate::stack::{self, BoxError, Layers};
use crate::telemetry::LogSink;
use crate::{health, process, rest};

/// What the chassis needs to know of a service. The type is its configuration.
pub trait Service: clap::Args + Send + 'static {
    /// Names the service in logs, heartbeats and Prometheus' `job`.
    const NAME: &'static str;
    /// The default of `--grpc-address`.
    const GRPC_ADDRESS: &'static str;
    /// The default of `--scrape-address`.
    const SCRAPE_ADDRESS: &'static str;
    /// The descriptor sets of the contracts that it serves.
    const SERVES: &'static [&'static [u8]];
    /// The services that it calls.
    const CALLS: &'static [Callee];
    /// The contracts that its older clients speak, each answered by what it serves.
    const LEGACY: &'static [LegacyContract] = &[];

    /// The settings that every service has.
    fn settings(&self) -> &Settings;

    /// Where it serves HTTP, if it does.
    fn http_address(&self) -> Option<SocketAddr> {
        None
    }

    /// The longest the calls behind a REST request may take.
    fn http_timeout(&self) -> Duration {
        self.settings().call_timeout
    }

    /// Puts the service together. Its ports are bound already and not served yet.
    fn build(self, assembly: &mut Assembly) -> impl Future<Output = Result<(), BoxError>> + Send;
}

/// A service whose ports are bound, and nothing more.
#[derive(Debug)]
pub struct Bound<S> {
    config: S,
    grpc: Listener,
    http: Option<Listener>,
    scrape: Listener,
    log: Option<LogSink>,
}

/// The addresses of a service's ports.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Addresses {
    /// gRPC.
    pub grpc: SocketAddr,
    /// REST, where the service has it.
    pub http: Option<SocketAddr>,
    /// Metrics and health pages.
    pub scrape: SocketAddr,
}

/// Why a service did not start. Nothing of it is left running.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// A port could not be bound.
    #[error("{service}: cannot listen on {address}: {source}; set {setting} to a free address")]
    Bind {
        /// The service's name.
        service: &'static str,
        /// What was asked for.
        address: SocketAddr,
        /// The flag and the variable.
        setting: &'static str,
        /// What the system said.
        source: std::io::Error,
    },
    /// A setting is wrong.
    #[error("{service}: {reason}")]
    Setting {
        /// The service's name.
        service: &'static str,
        /// Which setting, and what it should be.
        reason: String,
    },
    /// An old contract cannot be served.
    #[error("{service}: {source}")]
    Alias {
        /// The service's name.
        service: &'static str,
        /// Which one, and why.
        source: AliasError,
    },
    /// The service could not be put together.
    #[error("{service}: {source}")]
    Build {
        /// The service's name.
        service: &'static str,
        /// The reason.
        source: BoxError,
    },
}

/// Binds a service's ports.
///
/// # Errors
///
/// [`StartError::Bind`] where a port is taken.
pub fn bind<S: Service>(config: S) -> Result<Bound<S>, StartError> {
    let settings = config.settings();
    let limits = Limits {
        connections: settings.max_connections,
        streams: settings.max_streams,
        call: Some(settings.call_timeout),
        stream: Some(settings.stream_timeout),
    };
    let http_limits = Limits {
        call: Some(config.http_timeout()),
        ..limits
    };
    let bind = |address, limits, setting| {
        Listener::bind(address, limits).map_err(|source| StartError::Bind {
            service: S::NAME,
            address,
            setting,
            source,
        })
    };
    let http = |address| bind(address, http_limits, "--http-address (HTTP_ADDRESS)");
    let (grpc, scrape) = (settings.grpc_address, settings.scrape_address);
    Ok(Bound {
        grpc: bind(grpc, limits, "--grpc-address (GRPC_ADDRESS)")?,
        http: config.http_address().map(http).transpose()?,
        scrape: bind(scrape, limits, "--scrape-address (SCRAPE_ADDRESS)")?,
        config,
        log: None,
    })
}

// === impl StartError ===

impl StartError {
    /// What was wrong on a service's command line.
    pub fn setting(service: &'static str, error: &clap::Error) -> Self {
        Self::Setting {
            service,
            reason: one_line(error),
        }
    }
}

// === impl Bound ===

impl<S: Service> Bound<S> {
    /// The bound addresses, with the ports that the system chose for port 0.
    pub fn addresses(&self) -> Addresses {
        Addresses {
            grpc: self.grpc.address(),
            http: self.http.as_ref().map(Listener::address),
            scrape: self.scrape.address(),
        }
    }

    /// The settings that every service has.
    pub fn settings(&self) -> &Settings {
        self.config.settings()
    }

    /// The configuration, where an address had to be known before it was complete.
    pub const fn config_mut(&mut self) -> &mut S {
        &mut self.config
    }

    /// The service whose log this is, so that it goes to the service's collector.
    pub(crate) fn with_log(self, log: Option<LogSink>) -> Self {
        Self { log, ..self }
    }

    /// Puts the service together and serves it.
    ///
    /// # Errors
    ///
    /// [`StartError::Alias`] where an old contract does not fit what answers it, also if old names
    /// are off; [`StartError::Build`] where a part of the service could not be made.
    pub async fn start(self) -> Result<Running, StartError> {
        let aliases = alias::resolve(S::LEGACY, S::SERVES).map_err(|source| StartError::Alias {
            service: S::NAME,
            source,
        })?;
        let assembled = self.assemble(aliases).await;
        assembled.map_err(|source| StartError::Build {
            service: S::NAME,
            source,
        })
    }

    async fn assemble(self, aliases: Vec<Alias>) -> Result<Running, BoxError> {
        let addresses = self.addresses();
        let settings = self.config.settings().clone();
        let mut served = S::SERVES.to_vec();
        if settings.legacy_names {
            served.extend(S::LEGACY.iter().map(|contract| contract.descriptor_set));
        }
        let timeout = settings.call_timeout.max(settings.stream_timeout);
        let mut assembly = Assembly::new::<S>(Registry::new(), addresses.grpc, &served, timeout)?;
        let registry = assembly.registry.clone();
        let flush = assembly.export(&settings.trace, self.log.as_ref())?;
        let tracer = assembly.tracer.clone();
        process::register(&registry, &tokio::runtime::Handle::current())?;
        self.config.build(&mut assembly).await?;
        if settings.legacy_names {
            aliases
                .into_iter()
                .try_for_each(|alias| assembly.routes.add_alias(alias))?;
        }

        let mut methods = Methods::default();
        for descriptor_set in &served {
            methods.add(descriptor_set)?;
        }
        let health = health::add(&mut assembly.routes, &mut methods, &served).await?;
        let layers = Layers {
            metrics: assembly.server_metrics.layer(),
            span: SpanLayer::grpc(tracer.clone()),
            catch_panic: CatchPanicLayer::new(counter(
                &registry,
                "mesh_panics_total",
                "Handlers that panicked.",
            )?),
            echo: EchoLayer::new(settings.echo_metadata),
            limit: LimitLayer::new(
                settings.max_calls,
                counter(
                    &registry,
                    "mesh_calls_shed_total",
                    "gRPC calls refused because too many were in progress.",
                )?,
            ),
        };
        let http = match (self.http, assembly.http) {
            (Some(listener), Some((routes, known))) => Some((
                listener,
                rest::instrument(routes, known, &registry, tracer.clone())?,
            )),
            _ => None,
        };
        let mut running = Running::new(S::NAME, addresses, settings, health);
        running.serve(
            self.grpc.counted_by(assembly.server_metrics.clone()),
            stack::grpc(layers, assembly.routes.routes()),
            methods,
        );
        if let Some((listener, routes)) = http {
            running.serve(listener, routes, Methods::default());
        }
        running.scrape(self.scrape, registry.clone())?;
        let tasks = assembly.tasks.into_iter().map(|task| tracer.task(task));
        running.run(tasks.collect(), &registry).await?;
        assembly.on_stop.push(Box::pin(flush));
        running.finish(assembly.on_stop);
        Ok(running)
    }
}

fn counter(registry: &Registry, name: &str, help: &str) -> prometheus::Result<IntCounter> {
    let counter = IntCounter::new(name, help)?;
    registry.register(Box::new(counter.clone()))?;
    Ok(counter)
}
