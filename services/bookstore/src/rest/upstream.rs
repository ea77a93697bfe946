//! The gRPC side, as the REST side calls it.

use std::fmt;
use std::sync::Arc;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tonic::body::Body;
use tonic::client::GrpcService;
use tonic::codegen::{Body as HttpBody, Bytes, StdError};
use vitalmesh_proto::bookstore::v1::bookstore_service_client::BookstoreServiceClient;

use super::error::Error;

/// What a generated client can call through: a name for its bounds.
pub trait Channel:
    GrpcService<
        Body,
        Error: Into<StdError>,
        Future: Send,
        ResponseBody: HttpBody<Data = Bytes, Error: Into<StdError> + Send> + Send + 'static,
    > + Clone
    + Send
    + Sync
    + 'static
{
}

/// Where the bookstore's gRPC side is. Its channels carry the deadline of a call.
#[derive(Clone)]
pub struct Upstream<C> {
    calls: BookstoreServiceClient<C>,
    streams: Arc<dyn Fn() -> C + Send + Sync>,
    downloads: Arc<Semaphore>,
    max_downloads: usize,
}

/// A client for one stream, and the place that the stream takes.
pub(crate) struct Download<C> {
    pub(crate) client: BookstoreServiceClient<C>,
    pub(crate) place: OwnedSemaphorePermit,
}

// === impl Channel ===

impl<C> Channel for C
where
    C: GrpcService<Body, Error: Into<StdError>, Future: Send> + Clone + Send + Sync + 'static,
    C::ResponseBody: HttpBody<Data = Bytes, Error: Into<StdError> + Send> + Send + 'static,
{
}

// === impl Upstream ===

impl<C: Channel> Upstream<C> {
    /// `calls` carries the unary calls; `streams` makes a channel on a connection of its own for
    /// each stream, since a slow reader's fills a shared one. At most `max_downloads` streams are
    /// open at a time.
    pub fn new(
        calls: C,
        streams: impl Fn() -> C + Send + Sync + 'static,
        max_downloads: usize,
    ) -> Self {
        Self {
            calls: BookstoreServiceClient::new(calls),
            streams: Arc::new(streams),
            downloads: Arc::new(Semaphore::new(max_downloads)),
            max_downloads,
        }
    }

    pub(crate) fn calls(&self) -> BookstoreServiceClient<C> {
        self.calls.clone()
    }

    pub(crate) fn download(&self) -> Result<Download<C>, Error> {
        let max = self.max_downloads;
        let place = Arc::clone(&self.downloads).try_acquire_owned();
        Ok(Download {
            place: place.map_err(|_| Error::TooManyDownloads { max })?,
            client: BookstoreServiceClient::new((self.streams)()),
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
