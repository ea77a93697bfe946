//! Settings and assembly of the counter.

use std::net::SocketAddr;

use tonic::codec::CompressionEncoding;
use vitalmesh_chassis::{Assembly, BoxError, LegacyContract, Service, Settings};
use vitalmesh_heartbeat::HeartbeatSettings;
use vitalmesh_proto::counter::v1::FILE_DESCRIPTOR_SET;
use vitalmesh_proto::counter::v1::counter_service_server::CounterServiceServer;
use vitalmesh_proto::legacy;

use crate::rest::ROUTES;
use crate::{Counter, router};

/// Settings of the counter.
#[derive(clap::Args, Clone, Debug)]
#[command(about)]
pub struct Config {
    #[command(flatten)]
    settings: Settings,

    #[command(flatten)]
    pub heartbeat: HeartbeatSettings,

    /// The address of the REST port; an IP alone keeps the default port, :80 is port 80 of every
    /// interface
    #[arg(long, env, default_value = "127.0.0.1:8014")]
    pub http_address: SocketAddr,
}

/// The contracts of older clients.
const LEGACY: [LegacyContract; 3] = [
    LegacyContract {
        descriptor_set: legacy::PYTHON_TO_RUST_SIMPLE,
        answered_by: &[(
            "python_to_rust_simple.PythonToRustSimpleService/increase",
            "vitalmesh.counter.v1.CounterService/Increase",
        )],
    },
    LegacyContract {
        descriptor_set: legacy::PYTHON_TO_PYTHON_SIMPLE,
        answered_by: &[(
            "python_to_python_simple.Simple_python_python/increase",
            "vitalmesh.counter.v1.CounterService/Increase",
        )],
    },
    LegacyContract {
        descriptor_set: legacy::PYTHON_TO_PYTHON_TWO_WAY_STREAM,
        answered_by: &[(
            "python_to_python_two_way_stream.Two_way_stream_python_to_python/increase",
            "vitalmesh.counter.v1.CounterService/IncreaseStream",
        )],
    },
];

impl Service for Config {
    const NAME: &'static str = "counter";
    const GRPC_ADDRESS: &'static str = "127.0.0.1:50055";
    const SCRAPE_ADDRESS: &'static str = "127.0.0.1:9993";

    fn settings(&self) -> &Settings {
        &self.settings
    }

    fn http_address(&self) -> Option<SocketAddr> {
        Some(self.http_address)
    }

    async fn build(self, assembly: &mut Assembly) -> Result<(), BoxError> {
        // Older clients compress. A client that does not accept gzip gets plain responses.
        let counter = CounterServiceServer::new(Counter::new())
            .accept_compressed(CompressionEncoding::Gzip)
            .send_compressed(CompressionEncoding::Gzip);
        assembly.serve(FILE_DESCRIPTOR_SET, counter)?;
        assembly.serve_legacy(LEGACY);
        assembly.serve_http(router(), ROUTES);
        vitalmesh_heartbeat::report(assembly, &self.heartbeat)?;
        Ok(())
    }
}
