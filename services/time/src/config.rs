//! The time service's settings, and how it is put together.

use vitalmesh_chassis::{
    Assembly, BoxError, Callee, EDGE, HeartbeatSettings, LegacyContract, Service, Settings,
};
use vitalmesh_proto::legacy;
use vitalmesh_proto::time::v1::FILE_DESCRIPTOR_SET;
use vitalmesh_proto::time::v1::time_service_server::TimeServiceServer;

use crate::Clock;

/// What the time service is told at its start.
#[derive(clap::Args, Clone, Debug)]
pub struct Config {
    #[command(flatten)]
    settings: Settings,

    #[command(flatten)]
    pub heartbeat: HeartbeatSettings,
}

impl Service for Config {
    const NAME: &'static str = "time";
    const GRPC_ADDRESS: &'static str = "127.0.0.1:50051";
    const SCRAPE_ADDRESS: &'static str = "127.0.0.1:9999";
    const SERVES: &'static [&'static [u8]] = &[FILE_DESCRIPTOR_SET];
    const CALLS: &'static [Callee] = &[EDGE];
    const LEGACY: &'static [LegacyContract] = &[LegacyContract {
        descriptor_set: legacy::TIME,
        answered_by: &[(
            "dj.grpc.time.TimeProcedureApi/WhatTimeIs",
            "vitalmesh.time.v1.TimeService/WhatTimeIs",
        )],
    }];

    fn settings(&self) -> &Settings {
        &self.settings
    }

    async fn build(self, assembly: &mut Assembly) -> Result<(), BoxError> {
        assembly.serve(TimeServiceServer::new(Clock::new()));
        assembly.beat(&self.heartbeat);
        Ok(())
    }
}
