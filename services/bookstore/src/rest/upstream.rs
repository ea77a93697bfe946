//! The clients through which the REST routes call the bookstore's gRPC service.

use std::fmt;
use std::sync::Arc;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use vitalmesh_chassis::AnyChannel;
use vitalmesh_proto::bookstore::v1::bookstore_service_client::BookstoreServiceClient;

use super::error::Error;

/// Channels to the bookstore's gRPC service. They set the deadline of each call.
#[derive(Clone)]
pub struct Upstream<C> {
    calls: BookstoreServiceClient<C>,
    stream_channel: Arc<dyn Fn() -> C + Send + Sync>,
    downloads: Arc<Semaphore>,
    max_downloads: usize,
}

/// A client for one stream, and the permit that the stream holds.
pub(crate) struct Download<C> {
    pub(crate) client: BookstoreServiceClient<C>,
    pub(crate) permit: OwnedSemaphorePermit,
}

// === impl Upstream ===

impl<C: AnyChannel> Upstream<C> {
    /// `calls` is the channel of the unary calls. `stream_channel` opens one for each stream, on a
    /// connection of its own: on a shared one, a slow reader would stall the others. At most
    /// `max_downloads` streams are open at a time.
    pub fn new(
        calls: C,
        stream_channel: impl Fn() -> C + Send + Sync + 'static,
        max_downloads: usize,
    ) -> Self {
        Self {
            calls: BookstoreServiceClient::new(calls),
            stream_channel: Arc::new(stream_channel),
            downloads: Arc::new(Semaphore::new(max_downloads)),
            max_downloads,
        }
    }

    pub(crate) fn calls(&self) -> BookstoreServiceClient<C> {
        self.calls.clone()
    }

    /// A client for one stream.
    ///
    /// # Errors
    ///
    /// The limit of open streams is reached.
    pub(crate) fn download(&self) -> Result<Download<C>, Error> {
        let max = self.max_downloads;
        let permit = Arc::clone(&self.downloads).try_acquire_owned();
        Ok(Download {
            permit: permit.map_err(|_| Error::TooManyDownloads { max })?,
            client: BookstoreServiceClient::new((self.stream_channel)()),
        })
    }
}

impl<C> fmt::Debug for Upstream<C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Upstream")
            .field("max_downloads", &self.max_downloads)
            .finish_non_exhaustive()
    }
}
