//! Settings and assembly of the edge service.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use vitalmesh_chassis::{
    Assembly, BoxError, InvalidSetting, LegacyContract, Schedule, Service, Settings, Task,
    Upstream, Uri, duration, service_url,
};
use vitalmesh_proto::heartbeat::v1::heartbeat_service_server::HeartbeatServiceServer;
use vitalmesh_proto::revert_name::v1::revert_name_service_client::RevertNameServiceClient;
use vitalmesh_proto::time::v1::time_service_client::TimeServiceClient;
use vitalmesh_proto::{heartbeat, legacy, revert_name, time};

use crate::rest::ROUTES;
use crate::watch::watch;
use crate::{ExpectedServices, Heartbeats, Roster, Store, StoreSettings, Upstreams, router};

/// Settings of the edge service.
#[derive(clap::Args, Clone, Debug)]
#[command(about)]
pub struct Config {
    #[command(flatten)]
    settings: Settings,

    /// The address of the REST port; an IP alone keeps the default port, :80 is port 80 of every
    /// interface
    #[arg(long, env, default_value = "127.0.0.1:8012")]
    pub http_address: SocketAddr,

    /// The URL of revert-name
    #[arg(long, env, default_value = "http://127.0.0.1:50052", value_parser = service_url)]
    pub revert_name_url: Uri,

    /// The URL of time
    #[arg(long, env, default_value = "http://127.0.0.1:50051", value_parser = service_url)]
    pub time_url: Uri,

    /// The timeout of a call to an upstream service
    #[arg(long, env, default_value = "2s", value_parser = duration)]
    pub upstream_timeout: Duration,

    /// The folder of the heartbeat database
    #[arg(long, env, default_value = "data")]
    pub data_dir: PathBuf,

    /// Services that must send heartbeats, separated by commas: name, or name=interval where that is
    /// not 10s; one that is silent for three intervals is late
    #[arg(long, env, default_value = "", hide_default_value = true)]
    pub expected_services: ExpectedServices,

    /// How long an instance may be late before it is forgotten; a service's newest instance is kept as
    /// long as its heartbeats
    #[arg(long, env, default_value = "1h", value_parser = duration)]
    pub forget_after: Duration,

    /// How long heartbeats are kept
    #[arg(long, env, default_value = "168h", value_parser = duration)]
    pub heartbeat_max_age: Duration,

    /// How many heartbeats are kept
    #[arg(long, env, default_value_t = 1_000_000)]
    pub heartbeat_max_rows: u32,

    /// The schedule that deletes old and surplus heartbeats: cron with seconds, in UTC; or off
    #[arg(long, env, default_value = "0 */10 * * * *")]
    pub prune_cron: Schedule,
}

/// The contracts of older clients.
const LEGACY: [LegacyContract; 1] = [LegacyContract {
    descriptor_set: legacy::HEARTBEAT,
    answered_by: &[(
        "dj.grpc.heartbeat.HeartBeatApi/BeatHeart",
        "vitalmesh.heartbeat.v1.HeartbeatService/BeatHeart",
    )],
}];

const REVERT_NAME: Upstream = Upstream {
    name: "revert-name",
    contract: revert_name::v1::FILE_DESCRIPTOR_SET,
};
const TIME: Upstream = Upstream {
    name: "time",
    contract: time::v1::FILE_DESCRIPTOR_SET,
};

impl Service for Config {
    const NAME: &'static str = "edge";
    const GRPC_ADDRESS: &'static str = "127.0.0.1:50053";
    const SCRAPE_ADDRESS: &'static str = "127.0.0.1:9995";

    fn settings(&self) -> &Settings {
        &self.settings
    }

    fn http_address(&self) -> Option<SocketAddr> {
        Some(self.http_address)
    }

    async fn build(self, assembly: &mut Assembly) -> Result<(), BoxError> {
        let expected = self.expected_services.intervals();
        let settings = StoreSettings {
            forget_after: self.forget_after,
            max_age: self.heartbeat_max_age,
            max_rows: self.heartbeat_max_rows,
            reserved: expected.iter().map(|(name, _)| (*name).into()).collect(),
            ..StoreSettings::default()
        };
        let store = Store::open(&self.data_dir, settings)
            .await
            .map_err(|error| InvalidSetting::new("--data-dir (DATA_DIR)", error))?;
        let roster = Roster::new(store.clone(), &expected);
        roster.register(assembly.registry())?;
        let heartbeats = HeartbeatServiceServer::new(Heartbeats::new(store.clone()));
        assembly.serve(heartbeat::v1::FILE_DESCRIPTOR_SET, heartbeats)?;
        assembly.serve_legacy(LEGACY);
        assembly.add_task(prune(store.clone(), self.prune_cron));
        let watch = tokio::spawn(watch(roster.clone()));
        assembly.on_stop(async move {
            watch.abort();
            store.close().await;
        });

        let timeout = self.upstream_timeout;
        let upstreams = Upstreams {
            revert_name: RevertNameServiceClient::new(assembly.channel(
                REVERT_NAME,
                self.revert_name_url,
                timeout,
            )?),
            time: TimeServiceClient::new(assembly.channel(TIME, self.time_url, timeout)?),
        };
        assembly.serve_http(router(upstreams, roster), ROUTES);
        Ok(())
    }
}

fn prune(store: Store, schedule: Schedule) -> Task {
    Task {
        name: "prune-heartbeats",
        schedule,
        phase: Duration::ZERO,
        timeout: Duration::from_secs(60),
        at_start: true,
        work: Box::new(move || {
            let store = store.clone();
            Box::pin(async move {
                let deleted = store.prune().await?;
                tracing::debug!(deleted, "old heartbeats deleted");
                Ok(())
            })
        }),
    }
}
