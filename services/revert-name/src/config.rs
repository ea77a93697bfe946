//! Settings and assembly of the revert-name service.

use clap::ArgAction;
use vitalmesh_chassis::{Assembly, BoxError, LegacyContract, Service, Settings};
use vitalmesh_heartbeat::HeartbeatSettings;
use vitalmesh_proto::legacy;
use vitalmesh_proto::revert_name::v1::FILE_DESCRIPTOR_SET;
use vitalmesh_proto::revert_name::v1::revert_name_service_server::RevertNameServiceServer;

use crate::Reverter;

/// Settings of the revert-name service.
#[derive(clap::Args, Clone, Debug)]
#[command(about)]
pub struct Config {
    #[command(flatten)]
    settings: Settings,

    #[command(flatten)]
    pub heartbeat: HeartbeatSettings,

    /// Fail on demand: names such as not_found or exception select the error
    #[arg(long, env, default_value_t = true, action = ArgAction::Set)]
    pub faults: bool,
}

/// The contracts of older clients.
const LEGACY: [LegacyContract; 1] = [LegacyContract {
    descriptor_set: legacy::REVERT_NAME,
    answered_by: &[(
        "dj.grpc.revert_name.RevertApi/RevertName",
        "vitalmesh.revert_name.v1.RevertNameService/RevertName",
    )],
}];

impl Service for Config {
    const NAME: &'static str = "revert-name";
    const GRPC_ADDRESS: &'static str = "127.0.0.1:50052";
    const SCRAPE_ADDRESS: &'static str = "127.0.0.1:9998";

    fn settings(&self) -> &Settings {
        &self.settings
    }

    async fn build(self, assembly: &mut Assembly) -> Result<(), BoxError> {
        let reverter = RevertNameServiceServer::new(Reverter::new(self.faults));
        assembly.serve(FILE_DESCRIPTOR_SET, reverter)?;
        assembly.serve_legacy(LEGACY);
        vitalmesh_heartbeat::report(assembly, &self.heartbeat)?;
        Ok(())
    }
}
