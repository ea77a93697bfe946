//! A program from its command line to its exit code.

use std::future::Future;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::process::ExitCode;
use std::time::Duration;

use futures_util::future::join_all;
use tokio::runtime::{Builder, Runtime};
use tokio::signal::unix::{Signal, SignalKind, signal};
use tonic::transport::Endpoint;
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_check_response::ServingStatus;
use tonic_health::pb::health_client::HealthClient;

use crate::config::{Settings, Verb, one_line, parse_invocation};
use crate::running::Running;
use crate::server::{Service, StartError, bind};
use crate::stack::BoxError;
use crate::telemetry::{self, LogFormat, LogSink};

/// A setting is wrong or a port is taken.
const EXIT_USAGE: u8 = 2;
const HEALTHCHECK_TIMEOUT: Duration = Duration::from_secs(1);

/// The whole `main` of a service's program.
///
/// Exit codes: 0 after a clean stop, 1 when a second signal cut it short or a health check
/// failed, 2 when a setting is wrong or a port is taken.
pub fn main<S: Service>() -> ExitCode {
    let invocation = match parse_invocation::<S>(std::env::args_os()) {
        Ok(invocation) => invocation,
        Err(error) => return refuse::<S>(&error),
    };
    let config = invocation.config;
    let ended = match invocation.command {
        Some(Verb::Healthcheck) => healthcheck(config.settings().grpc_address),
        None => {
            let log = start_log(config.settings());
            bind(config)
                .map(|bound| bound.with_log(log))
                .map_err(Into::into)
                .and_then(|bound| run(async { Ok(vec![bound.start().await?]) }))
        }
    };
    exit(ended)
}

fn refuse<S: Service>(error: &clap::Error) -> ExitCode {
    if error.use_stderr() {
        eprintln!("{}: {}", S::NAME, one_line(error));
        return ExitCode::from(EXIT_USAGE);
    }
    print!("{error}");
    ExitCode::SUCCESS
}

/// Says in one line why a program ended, and gives its exit code.
pub fn exit(ended: Result<(), BoxError>) -> ExitCode {
    let Err(error) = ended else {
        return ExitCode::SUCCESS;
    };
    eprintln!("{error}");
    match error.is::<StartError>() {
        true => ExitCode::from(EXIT_USAGE),
        false => ExitCode::FAILURE,
    }
}

/// Sends the process's log where `settings` say, but to no collector: that is for the log of a
/// program with one service.
pub fn log(settings: &Settings) {
    let _ = start_log(settings);
}

fn start_log(settings: &Settings) -> Option<LogSink> {
    let format = settings.log_format.unwrap_or_else(LogFormat::detect);
    telemetry::init(format, settings.log_level.clone())
}

/// Starts services on a runtime of their own and stops them at SIGTERM or SIGINT. A second
/// signal ends the process at once.
///
/// # Errors
///
/// What `start` says, or that a second signal came.
pub fn run<F>(start: F) -> Result<(), BoxError>
where
    F: Future<Output = Result<Vec<Running>, StartError>>,
{
    run_until(start, std::future::pending())
}

/// As [`run`], and stops the services also when `done` ends, which begins once they are served.
///
/// # Errors
///
/// What `start` says, or that a second signal came.
pub fn run_until<F>(start: F, done: impl Future<Output = ()>) -> Result<(), BoxError>
where
    F: Future<Output = Result<Vec<Running>, StartError>>,
{
    let runtime = runtime()?;
    let ended = runtime.block_on(async {
        let mut signals = Signals::new()?;
        let running = tokio::select! {
            running = start => running?,
            () = signals.next() => return Ok(()),
        };
        tokio::select! {
            () = done => {}
            () = signals.next() => {}
        }
        tokio::select! {
            _ = join_all(running.into_iter().map(Running::stop)) => Ok(()),
            () = signals.next() => Err("ended by a second signal".into()),
        }
    });
    runtime.shutdown_timeout(Duration::from_millis(500));
    ended
}

fn runtime() -> std::io::Result<Runtime> {
    Builder::new_multi_thread().enable_all().build()
}

/// Asks the server at `address` for its overall health.
///
/// # Errors
///
/// Where it does not answer SERVING within a second.
pub fn healthcheck(address: SocketAddr) -> Result<(), BoxError> {
    let address = SocketAddr::new(reachable(address.ip()), address.port());
    runtime()?.block_on(async {
        let check = async {
            let channel = Endpoint::from_shared(format!("http://{address}"))?
                .connect()
                .await?;
            let request = HealthCheckRequest::default();
            let answer = HealthClient::new(channel).check(request).await?;
            Ok::<_, BoxError>(answer.into_inner().status())
        };
        match tokio::time::timeout(HEALTHCHECK_TIMEOUT, check).await {
            Ok(Ok(ServingStatus::Serving)) => Ok(()),
            Ok(Ok(status)) => Err(format!("{address} is {}", status.as_str_name()).into()),
            Ok(Err(error)) => Err(format!("{address} does not answer: {error}").into()),
            Err(_) => Err(format!("{address} does not answer within 1 s").into()),
        }
    })
}

/// Where a server that listens everywhere is reached from its own machine.
pub(crate) fn reachable(ip: IpAddr) -> IpAddr {
    match ip {
        IpAddr::V4(Ipv4Addr::UNSPECIFIED) => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(Ipv6Addr::UNSPECIFIED) => Ipv6Addr::LOCALHOST.into(),
        ip => ip,
    }
}

/// The signals that ask a program to stop.
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
