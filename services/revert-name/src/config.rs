//! The revert-name service's settings, and how it is put together.

use clap::ArgAction;
use vitalmesh_chassis::{
    Assembly, BoxError, Callee, EDGE, HeartbeatSettings, LegacyContract, Service, Settings,
};
use vitalmesh_proto::legacy;
use vitalmesh_proto::revert_name::v1::FILE_DESCRIPTOR_SET;
use vitalmesh_proto::revert_name::v1::revert_name_service_server::RevertNameServiceServer;

use crate::Reverter;

/// What the revert-name service is told at its start.
#[derive(clap::Args, Clone, Debug)]
pub struct Config {
    #[command(flatten)]
    settings: Settings,

    #[command(flatten)]
    pub heartbeat: HeartbeatSettings,

    /// Whether names such as not_found or exception make the call fail
    #[arg(long, env, default_value_t = true, action = ArgAction::Set)]
    pub faults: bool,
}

impl Service for Config {
    const NAME: &'static str = "revert-name";
    const GRPC_ADDRESS: &'static str = "127.0.0.1:50052";
    const SCRAPE_ADDRESS: &'static str = "127.0.0.1:9998";
    const SERVES: &'static [&'static [u8]] = &[FILE_DESCRIPTOR_SET];
    const CALLS: &'static [Callee] = &[EDGE];
    const LEGACY: &'static [LegacyContract] = &[LegacyContract {
        descriptor_set: legacy::REVERT_NAME,
        answered_by: &[(
            "dj.grpc.revert_name.RevertApi/RevertName",
            "vitalmesh.revert_name.v1.RevertNameService/RevertName",
        )],
    }];

    fn settings(&self) -> &Settings {
        &self.settings
    }

    async fn build(self, assembly: &mut Assembly) -> Result<(), BoxError> {
        assembly.serve(RevertNameServiceServer::new(Reverter::new(self.faults)));
        assembly.beat(&self.heartbeat);
        Ok(())
    }
}
