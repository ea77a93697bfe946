//! A program, from its command line to its exit code.

use std::future::Future;
use std::net::SocketAddr;
use std::process::ExitCode;
use std::time::Duration;

use tokio::runtime::{Builder, Runtime};
use tokio::signal::unix::{Signal, SignalKind, signal};
use tower::BoxError;
use vitalmesh_server::pb::health::HealthCheckRequest;
use vitalmesh_server::pb::health::health_check_response::ServingStatus;
use vitalmesh_server::pb::health::health_client::HealthClient;
use vitalmesh_telemetry::{LogFormat, LogSink, init_log, report_suppressed_lines};
use vitalmesh_transport::Transport;

use crate::address::reachable;
use crate::command_line::{Subcommand, parse_invocation};
use crate::command_line_error::one_line_of_settings;
use crate::error::StartError;
use crate::service::Service;
use crate::settings::Settings;
use crate::stages::Stages;
use crate::start::bind;

/// The exit code for an invalid setting or an unavailable port.
const EXIT_USAGE: u8 = 2;
const HEALTHCHECK_TIMEOUT: Duration = Duration::from_secs(1);

/// The `main` of a service's program.
///
/// Exit codes: 0 after a clean stop; 1 if the service cannot be built, a second signal interrupts
/// the shutdown, or a health check fails; 2 if a setting is invalid or a port is not available.
pub fn main<S: Service>() -> ExitCode {
    let invocation = match parse_invocation::<S>(std::env::args_os()) {
        Ok(invocation) => invocation,
        Err(error) => return refuse::<S>(&error),
    };
    let config = invocation.config;
    let ended = match invocation.command {
        Some(Subcommand::Healthcheck) => healthcheck(config.settings().grpc_address),
        None => {
            let log = start_log(config.settings());
            bind(config)
                .map(|bound| bound.with_log(log))
                .map_err(Into::into)
                .and_then(|bound| run(bound.start()))
        }
    };
    exit(ended)
}

fn refuse<S: Service>(error: &clap::Error) -> ExitCode {
    if error.use_stderr() {
        eprintln!("{}: {}", S::NAME, one_line_of_settings(error));
        return ExitCode::from(EXIT_USAGE);
    }
    print!("{error}");
    ExitCode::SUCCESS
}

/// Prints an error in one line and returns the exit code.
pub fn exit(ended: Result<(), BoxError>) -> ExitCode {
    let Err(error) = ended else {
        return ExitCode::SUCCESS;
    };
    eprintln!("{error}");
    match error.downcast_ref::<StartError>() {
        Some(error) if error.is_usage() => ExitCode::from(EXIT_USAGE),
        _ => ExitCode::FAILURE,
    }
}

/// Starts the process's log by `settings`, without export to a collector: only a program with one
/// service exports its log.
pub fn log(settings: &Settings) {
    let _ = start_log(settings);
}

fn start_log(settings: &Settings) -> Option<LogSink> {
    let format = settings.log_format.unwrap_or_else(LogFormat::detect);
    init_log(format, settings.log_level.clone())
}

/// Starts services on a new runtime and stops them at SIGTERM or SIGINT, stage after stage.
///
/// # Errors
///
/// The error of `start`, or that a second signal interrupted the shutdown.
pub fn run<F, S>(start: F) -> Result<(), BoxError>
where
    F: Future<Output = Result<S, StartError>>,
    S: Into<Stages>,
{
    run_until(start, std::future::pending())
}

/// Like [`run`], and also stops the services when `done` completes. `done` is polled once they are
/// served.
///
/// # Errors
///
/// The error of `start`, or that a second signal interrupted the shutdown.
pub fn run_until<F, S>(start: F, done: impl Future<Output = ()>) -> Result<(), BoxError>
where
    F: Future<Output = Result<S, StartError>>,
    S: Into<Stages>,
{
    let runtime = runtime()?;
    let ended = runtime.block_on(async {
        let mut signals = Signals::new()?;
        let running: Stages = tokio::select! {
            running = start => running?.into(),
            () = signals.next() => return Ok(()),
        };
        tokio::select! {
            () = done => {}
            () = signals.next() => {}
        }
        tokio::select! {
            () = running.stop() => Ok(()),
            () = signals.next() => Err("a second signal interrupted the shutdown".into()),
        }
    });
    runtime.shutdown_timeout(Duration::from_millis(500));
    report_suppressed_lines();
    ended
}

fn runtime() -> std::io::Result<Runtime> {
    Builder::new_multi_thread().enable_all().build()
}

/// Checks the overall gRPC health of the server at `address`.
///
/// # Errors
///
/// If it does not report SERVING within a second.
pub fn healthcheck(address: SocketAddr) -> Result<(), BoxError> {
    let address = SocketAddr::new(reachable(address.ip()), address.port());
    runtime()?.block_on(async {
        let check = async {
            let transport = Transport::new(format!("http://{address}").parse()?);
            let request = HealthCheckRequest::default();
            let response = HealthClient::new(transport).check(request).await;
            let response = response.map_err(|status| status.message().to_owned())?;
            Ok::<_, BoxError>(response.into_inner().status())
        };
        match tokio::time::timeout(HEALTHCHECK_TIMEOUT, check).await {
            Ok(Ok(ServingStatus::Serving)) => Ok(()),
            Ok(Ok(status)) => Err(format!("{address} is {}", status.as_str_name()).into()),
            Ok(Err(error)) => Err(format!("{address} does not answer: {error}").into()),
            Err(_) => Err(format!("{address} does not answer within 1 s").into()),
        }
    })
}

/// The signals that stop a program.
struct Signals {
    terminate: Signal,
    interrupt: Signal,
}

impl Signals {
    fn new() -> std::io::Result<Self> {
        Ok(Self {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
        })
    }

    async fn next(&mut self) {
        tokio::select! {
            _ = self.terminate.recv() => {}
            _ = self.interrupt.recv() => {}
        }
    }
}
