//! From bound ports to a running service.

use grpc_prometheus::Exposition;
use tower::BoxError;
use vitalmesh_context::ServiceContext;
use vitalmesh_server::{GrpcSettings, Limits, Listener, Methods, grpc_stack, rest_stack};
use vitalmesh_telemetry::LogSink;

use crate::assembly::Assembly;
use crate::error::StartError;
use crate::process;
use crate::running::Running;
use crate::service::{Addresses, Service};
use crate::settings::Settings;

/// A service with bound ports that is not served yet.
#[derive(Debug)]
pub struct Bound<S> {
    config: S,
    grpc: Listener,
    http: Option<Listener>,
    scrape: Listener,
    log: Option<LogSink>,
}

/// Binds a service's ports.
///
/// # Errors
///
/// [`StartError::Bind`] if an address is not available.
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
    let bind = |address, limits, advice| {
        Listener::bind(address, limits).map_err(|source| StartError::Bind {
            service: S::NAME,
            address,
            advice,
            source,
        })
    };
    let http = |address| {
        bind(
            address,
            http_limits,
            "set --http-address (HTTP_ADDRESS) to a free address",
        )
    };
    let (grpc, scrape) = (settings.grpc_address, settings.scrape_address);
    Ok(Bound {
        grpc: bind(
            grpc,
            limits,
            "set --grpc-address (GRPC_ADDRESS) to a free address",
        )?,
        http: config.http_address().map(http).transpose()?,
        scrape: bind(
            scrape,
            limits,
            "set --scrape-address (SCRAPE_ADDRESS) to a free address",
        )?,
        config,
        log: None,
    })
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

    /// The configuration, to complete it with addresses that were unknown before `bind`.
    pub const fn config_mut(&mut self) -> &mut S {
        &mut self.config
    }

    /// Exports the process's log with the service's own telemetry.
    pub(crate) fn with_log(self, log: Option<LogSink>) -> Self {
        Self { log, ..self }
    }

    /// Builds the service and serves it.
    ///
    /// # Errors
    ///
    /// [`StartError::Setting`] if [`Service::build`] finds an invalid setting, else
    /// [`StartError::Build`].
    pub async fn start(self) -> Result<Running, StartError> {
        // Log lines of the service name it.
        let assembled = ServiceContext::new(S::NAME).scope(self.assemble()).await;
        assembled.map_err(|source| StartError::build(S::NAME, source))
    }

    async fn assemble(self) -> Result<Running, BoxError> {
        let addresses = self.addresses();
        let settings = self.config.settings().clone();
        let exposition = Exposition::default();
        let registry = exposition.registry();
        let mut assembly = Assembly::new(S::NAME, addresses.grpc, &settings, exposition.clone())?;
        let flush = assembly.export(&settings.trace, self.log.as_ref())?;
        process::register(registry, &tokio::runtime::Handle::current())?;
        self.config.build(&mut assembly).await?;

        let metrics = assembly.server_metrics(&settings)?;
        let contracts = assembly.services.contracts();
        let (methods, health) = assembly.services.finish(settings.legacy_names, &metrics)?;
        let tracer = assembly.tracer;
        let grpc = GrpcSettings {
            max_calls: settings.max_calls,
            echo_metadata: settings.echo_metadata,
        };
        let grpc = grpc_stack(grpc, metrics.layer(), tracer.clone(), registry)?;
        let http = match (self.http, assembly.http) {
            (Some(listener), Some((routes, known))) => Some((
                listener,
                rest_stack(
                    routes,
                    known,
                    &exposition,
                    tracer.clone(),
                    settings.cors_origins.clone(),
                )?,
            )),
            _ => None,
        };
        let mut running = Running::new(S::NAME, addresses, &settings, contracts, health);
        running.serve(self.grpc.counted_by(metrics), grpc, methods);
        if let Some((listener, routes)) = http {
            running.serve(listener, routes, Methods::default().into());
        }
        running.scrape(self.scrape, exposition.clone())?;
        let tasks = assembly.tasks.into_iter().map(|task| task.traced(&tracer));
        running.run(tasks.collect(), registry).await?;
        assembly.on_stop.push(Box::pin(flush));
        running.finish(assembly.on_stop);
        Ok(running)
    }
}
