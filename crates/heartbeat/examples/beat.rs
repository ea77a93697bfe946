//! A service without calls that sends heartbeats each second to the edge of `mesh up`.
//!
//! `cargo run -p vitalmesh-heartbeat --example beat -- --heartbeat-cron '* * * * * *'`, then
//! `curl 127.0.0.1:8012/heartbeats`.

use std::process::ExitCode;

use vitalmesh_chassis::{Assembly, BoxError, Service, Settings};
use vitalmesh_heartbeat::{HeartbeatSettings, report};

/// Settings of the example.
#[derive(clap::Args, Clone, Debug)]
struct Config {
    #[command(flatten)]
    settings: Settings,

    #[command(flatten)]
    heartbeat: HeartbeatSettings,
}

impl Service for Config {
    const NAME: &'static str = "beat";
    const GRPC_ADDRESS: &'static str = "127.0.0.1:50058";
    const SCRAPE_ADDRESS: &'static str = "127.0.0.1:9991";

    fn settings(&self) -> &Settings {
        &self.settings
    }

    async fn build(self, assembly: &mut Assembly) -> Result<(), BoxError> {
        report(assembly, &self.heartbeat)
    }
}

fn main() -> ExitCode {
    vitalmesh_chassis::main::<Config>()
}
