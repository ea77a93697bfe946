//! Settings and assembly of the time service.

use vitalmesh_chassis::{Assembly, BoxError, LegacyContract, Service, Settings};
use vitalmesh_heartbeat::HeartbeatSettings;
use vitalmesh_proto::legacy;
use vitalmesh_proto::time::v1::FILE_DESCRIPTOR_SET;
use vitalmesh_proto::time::v1::time_service_server::TimeServiceServer;

use crate::Clock;

/// Settings of the time service.
#[derive(clap::Args, Clone, Debug)]
#[command(about)]
pub struct Config {
    #[command(flatten)]
    settings: Settings,

    #[command(flatten)]
    pub heartbeat: HeartbeatSettings,
}

/// The contracts of older clients.
const LEGACY: [LegacyContract; 1] = [LegacyContract {
    descriptor_set: legacy::TIME,
    answered_by: &[(
        "dj.grpc.time.TimeProcedureApi/WhatTimeIs",
        "vitalmesh.time.v1.TimeService/WhatTimeIs",
    )],
}];

impl Service for Config {
    const NAME: &'static str = "time";
    const GRPC_ADDRESS: &'static str = "127.0.0.1:50051";
    const SCRAPE_ADDRESS: &'static str = "127.0.0.1:9999";

    fn settings(&self) -> &Settings {
        &self.settings
    }

    async fn build(self, assembly: &mut Assembly) -> Result<(), BoxError> {
        assembly.serve(FILE_DESCRIPTOR_SET, TimeServiceServer::new(Clock::new()))?;
        assembly.serve_legacy(LEGACY);
        vitalmesh_heartbeat::report(assembly, &self.heartbeat)?;
        Ok(())
    }
}
