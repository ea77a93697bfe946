//! The bookstore's settings, and how it is put together.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use vitalmesh_chassis::{
    Assembly, BoxError, Callee, EDGE, HeartbeatSettings, LegacyContract, Service, Settings,
};
use vitalmesh_proto::bookstore::v1::FILE_DESCRIPTOR_SET;
use vitalmesh_proto::bookstore::v1::bookstore_service_server::BookstoreServiceServer;
use vitalmesh_proto::legacy;
use vitalmesh_store::Limits;

use crate::rest::ROUTES;
use crate::{Bookstore, Store, Upstream, router};

/// What the bookstore is told at its start.
#[derive(clap::Args, Clone, Debug)]
pub struct Config {
    #[command(flatten)]
    settings: Settings,

    #[command(flatten)]
    pub heartbeat: HeartbeatSettings,

    /// Where REST is served
    #[arg(long, env, default_value = "127.0.0.1:3333")]
    pub http_address: SocketAddr,

    /// The folder of the books' database
    #[arg(long, env, default_value = "data")]
    pub data_dir: PathBuf,

    /// Lists and recommendations that are read over REST at a time; more are answered 429
    #[arg(long, env, default_value_t = 256, value_parser = clap::value_parser!(u16).range(1..))]
    pub max_downloads: u16,
}

impl Service for Config {
    const NAME: &'static str = "bookstore";
    const GRPC_ADDRESS: &'static str = "127.0.0.1:50054";
    const SCRAPE_ADDRESS: &'static str = "127.0.0.1:9994";
    const SERVES: &'static [&'static [u8]] = &[FILE_DESCRIPTOR_SET];
    const CALLS: &'static [Callee] = &[
        EDGE,
        Callee {
            name: Self::NAME,
            contract: FILE_DESCRIPTOR_SET,
        },
    ];
    const LEGACY: &'static [LegacyContract] = &[LegacyContract {
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

    fn settings(&self) -> &Settings {
        &self.settings
    }

    fn http_address(&self) -> Option<SocketAddr> {
        Some(self.http_address)
    }

    /// A REST request may stream; the calls that do not have a channel with a shorter time.
    fn http_timeout(&self) -> Duration {
        self.settings.stream_timeout
    }

    async fn build(self, assembly: &mut Assembly) -> Result<(), BoxError> {
        let store = Store::open(&self.data_dir, Limits::default())
            .await
            .map_err(|error| format!("--data-dir (DATA_DIR): {error}"))?;
        let bookstore = Bookstore::new(store.clone(), assembly.registry())?;
        assembly.serve(BookstoreServiceServer::new(bookstore));
        assembly.beat(&self.heartbeat);
        assembly.on_stop(async move { store.close().await });

        let calls = assembly.own_channel(self.settings.call_timeout)?;
        let streams = assembly.own_channel(self.settings.stream_timeout)?;
        let upstream = Upstream::new(calls, move || streams.separate(), self.max_downloads.into());
        assembly.serve_http(router(upstream), ROUTES);
        Ok(())
    }
}
