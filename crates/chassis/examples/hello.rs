//! A whole service in one file: health, reflection, metrics, limits and graceful shutdown come with
//! the chassis.
//!
//! `cargo run -p vitalmesh-chassis --example hello`, then `curl 127.0.0.1:9990/metrics`, or
//! `grpcurl -plaintext 127.0.0.1:50059 vitalmesh.time.v1.TimeService/WhatTimeIs`.

use std::process::ExitCode;
use std::time::SystemTime;

use tonic::{Request, Response, Status};
use vitalmesh_chassis::{Assembly, BoxError, Service, Settings};
use vitalmesh_proto::time::v1::time_service_server::{TimeService, TimeServiceServer};
use vitalmesh_proto::time::v1::{FILE_DESCRIPTOR_SET, WhatTimeIsRequest, WhatTimeIsResponse};

/// Settings of the example.
#[derive(clap::Args, Clone, Debug)]
struct Config {
    #[command(flatten)]
    settings: Settings,
}

#[derive(Debug)]
struct Clock;

#[tonic::async_trait]
impl TimeService for Clock {
    async fn what_time_is(
        &self,
        _: Request<WhatTimeIsRequest>,
    ) -> Result<Response<WhatTimeIsResponse>, Status> {
        let since_1970 = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
        let seconds = since_1970.map_err(|_| Status::internal("the clock is before 1970"))?;
        Ok(Response::new(WhatTimeIsResponse {
            time: format!("{} s since 1970", seconds.as_secs()),
        }))
    }
}

impl Service for Config {
    const NAME: &'static str = "hello";
    const GRPC_ADDRESS: &'static str = "127.0.0.1:50059";
    const SCRAPE_ADDRESS: &'static str = "127.0.0.1:9990";

    fn settings(&self) -> &Settings {
        &self.settings
    }

    async fn build(self, assembly: &mut Assembly) -> Result<(), BoxError> {
        assembly.serve(FILE_DESCRIPTOR_SET, TimeServiceServer::new(Clock))?;
        Ok(())
    }
}

fn main() -> ExitCode {
    vitalmesh_chassis::main::<Config>()
}
