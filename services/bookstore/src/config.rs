//! Settings and assembly of the bookstore.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use vitalmesh_chassis::{Assembly, BoxError, InvalidSetting, LegacyContract, Service, Settings};
use vitalmesh_heartbeat::HeartbeatSettings;
use vitalmesh_proto::bookstore::v1::FILE_DESCRIPTOR_SET;
use vitalmesh_proto::bookstore::v1::bookstore_service_server::BookstoreServiceServer;
use vitalmesh_proto::legacy;
use vitalmesh_store::Limits;

use crate::rest::ROUTES;
use crate::{Bookstore, Store, Upstream, router};

/// Settings of the bookstore.
#[derive(clap::Args, Clone, Debug)]
#[command(about)]
pub struct Config {
    #[command(flatten)]
    settings: Settings,

    #[command(flatten)]
    pub heartbeat: HeartbeatSettings,

    /// The address of the REST port; an IP alone keeps the default port, :80 is port 80 of every
    /// interface
    #[arg(long, env, default_value = "127.0.0.1:3333")]
    pub http_address: SocketAddr,

    /// The folder of the books' database
    #[arg(long, env, default_value = "data")]
    pub data_dir: PathBuf,

    /// Concurrent REST streams (lists and recommendations); further ones get 429
    #[arg(long, env, default_value_t = 256, value_parser = clap::value_parser!(u16).range(1..))]
    pub max_downloads: u16,
}

/// The contracts of older clients.
const LEGACY: [LegacyContract; 1] = [LegacyContract {
    descriptor_set: legacy::BOOK,
    answered_by: &[
        (
            "BookController/ListBook",
            "vitalmesh.bookstore.v1.BookstoreService/ListBooks",
        ),
        (
            "BookController/CreateBook",
            "vitalmesh.bookstore.v1.BookstoreService/CreateBook",
        ),
        (
            "BookController/RetrieveBook",
            "vitalmesh.bookstore.v1.BookstoreService/RetrieveBook",
        ),
    ],
}];

impl Service for Config {
    const NAME: &'static str = "bookstore";
    const GRPC_ADDRESS: &'static str = "127.0.0.1:50054";
    const SCRAPE_ADDRESS: &'static str = "127.0.0.1:9994";

    fn settings(&self) -> &Settings {
        &self.settings
    }

    fn http_address(&self) -> Option<SocketAddr> {
        Some(self.http_address)
    }

    /// REST requests may stream; the channel for unary calls has a shorter timeout.
    fn http_timeout(&self) -> Duration {
        self.settings.stream_timeout
    }

    async fn build(self, assembly: &mut Assembly) -> Result<(), BoxError> {
        let store = Store::open(&self.data_dir, Limits::default())
            .await
            .map_err(|error| InvalidSetting::new("--data-dir (DATA_DIR)", error))?;
        let bookstore = Bookstore::new(store.clone(), assembly.registry())?;
        assembly.serve(FILE_DESCRIPTOR_SET, BookstoreServiceServer::new(bookstore))?;
        assembly.serve_legacy(LEGACY);
        vitalmesh_heartbeat::report(assembly, &self.heartbeat)?;
        assembly.on_stop(async move { store.close().await });

        let calls = assembly.own_channel(FILE_DESCRIPTOR_SET, self.settings.call_timeout)?;
        let streams = assembly.own_channel(FILE_DESCRIPTOR_SET, self.settings.stream_timeout)?;
        let upstream = Upstream::new(calls, move || streams.separate(), self.max_downloads.into());
        assembly.serve_http(router(upstream), ROUTES);
        Ok(())
    }
}
