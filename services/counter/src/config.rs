//! The counter's settings, and how it is put together.

use std::net::SocketAddr;

use tonic::codec::CompressionEncoding;
use vitalmesh_chassis::{
    Assembly, BoxError, Callee, EDGE, HeartbeatSettings, LegacyContract, Service, Settings,
};
use vitalmesh_proto::counter::v1::FILE_DESCRIPTOR_SET;
use vitalmesh_proto::counter::v1::counter_service_server::CounterServiceServer;
use vitalmesh_proto::legacy;

use crate::rest::ROUTES;
use crate::{Counter, router};

/// What the counter is told at its start.
#[derive(clap::Args, Clone, Debug)]
pub struct Config {
    #[command(flatten)]
    settings: Settings,

    #[command(flatten)]
    pub heartbeat: HeartbeatSettings,

    /// Where REST is served
    #[arg(long, env, default_value = "127.0.0.1:8014")]
    pub http_address: SocketAddr,
}

impl Service for Config {
    const NAME: &'static str = "counter";
    const GRPC_ADDRESS: &'static str = "127.0.0.1:50055";
    const SCRAPE_ADDRESS: &'static str = "127.0.0.1:9993";
    const SERVES: &'static [&'static [u8]] = &[FILE_DESCRIPTOR_SET];
    const CALLS: &'static [Callee] = &[EDGE];
    const LEGACY: &'static [LegacyContract] = &[
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

    fn settings(&self) -> &Settings {
        &self.settings
    }

    fn http_address(&self) -> Option<SocketAddr> {
        Some(self.http_address)
    }

    async fn build(self, assembly: &mut Assembly) -> Result<(), BoxError> {
        // Clients of the older systems compress; who does not ask for it gets plain answers.
        let counter = CounterServiceServer::new(Counter::new())
            .accept_compressed(CompressionEncoding::Gzip)
            .send_compressed(CompressionEncoding::Gzip);
        assembly.serve(counter);
        assembly.serve_http(router(), ROUTES);
        assembly.beat(&self.heartbeat);
        Ok(())
    }
}
