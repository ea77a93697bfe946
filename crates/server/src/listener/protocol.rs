//! One connection, served as HTTP/1 or HTTP/2.

use bytes::Bytes;
use http::{Request, Response};
use http_body::Body;
use hyper::body::Incoming;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::io::Join;
use tower::BoxError;

use super::accept::Halves;
use super::activity::{Activity, MonitoredIo};
use super::adapter::Adapter;
use super::connections::Signals;
use super::http2::{self, Sniffed};
use super::overdue::CallExecutor;
use super::{HEAD_TIMEOUT, Limits};

const MAX_HEADERS: usize = 64;
const MAX_HEAD_BYTES: usize = 16 << 10;

/// A connection whose protocol is known.
pub(super) type Connection<IO> =
    MonitoredIo<Join<Sniffed<<IO as Halves>::Read>, <IO as Halves>::Write>>;

pub(super) async fn serve_http1<IO, S, B>(
    io: Connection<IO>,
    adapter: Adapter<S>,
    signals: Signals,
) -> hyper::Result<()>
where
    IO: Halves,
    Adapter<S>:
        hyper::service::Service<Request<Incoming>, Response = Response<B>, Error: Into<BoxError>>,
    B: Body<Data = Bytes, Error: Into<BoxError>> + Send + 'static,
{
    let mut builder = hyper::server::conn::http1::Builder::new();
    builder
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_TIMEOUT)
        .max_headers(MAX_HEADERS)
        .max_buf_size(MAX_HEAD_BYTES);
    let mut connection = std::pin::pin!(builder.serve_connection(TokioIo::new(io), adapter));
    tokio::select! {
        biased;
        ended = &mut connection => return ended,
        _ = signals.drain => connection.as_mut().graceful_shutdown(),
    }
    connection.await
}

/// A drain ends when the peer has answered a last PING, which gives a distant peer its time. A
/// silent peer without calls is not waited for.
pub(super) async fn serve_http2<IO, S, B>(
    io: Connection<IO>,
    activity: Activity,
    adapter: Adapter<S>,
    limits: &Limits,
    signals: Signals,
) -> hyper::Result<()>
where
    IO: Halves,
    Adapter<S>: hyper::service::Service<
            Request<Incoming>,
            Response = Response<B>,
            Error: Into<BoxError>,
            Future: Send + 'static,
        >,
    B: Body<Data = Bytes, Error: Into<BoxError>> + Send + 'static,
{
    let builder = http2::builder(CallExecutor(activity.clone()), limits.streams);
    let mut connection = std::pin::pin!(builder.serve_connection(TokioIo::new(io), adapter));
    tokio::select! {
        biased;
        ended = &mut connection => return ended,
        _ = signals.lame_duck => connection.as_mut().graceful_shutdown(),
    }
    tokio::select! {
        biased;
        ended = &mut connection => return ended,
        _ = signals.drain => connection.as_mut().graceful_shutdown(),
    }
    tokio::select! {
        biased;
        ended = connection => ended,
        () = activity.silent() => Ok(()),
    }
}
