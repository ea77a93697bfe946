//! A peer that is a server of the h2 crate, where single frames do not matter.

use std::future::{Future, poll_fn};

use bytes::Bytes;
use h2::server::{Builder, SendResponse};
use h2::{RecvStream, SendStream};
use http::{HeaderMap, HeaderValue, Request, Response};

use crate::wire::Io;

/// Serves a connection until it ends; `handle` answers each request.
pub(crate) fn serve<F, A>(io: Io, handle: F)
where
    F: Fn(Request<RecvStream>, SendResponse<Bytes>) -> A + Send + 'static,
    A: Future<Output = ()> + Send + 'static,
{
    serve_at_most(u32::MAX, io, handle);
}

/// Allows the client `streams` concurrent streams.
pub(crate) fn serve_at_most<F, A>(streams: u32, io: Io, handle: F)
where
    F: Fn(Request<RecvStream>, SendResponse<Bytes>) -> A + Send + 'static,
    A: Future<Output = ()> + Send + 'static,
{
    tokio::spawn(async move {
        let mut builder = Builder::new();
        builder.max_concurrent_streams(streams);
        let mut connection = builder.handshake(io).await.unwrap();
        while let Some(Ok((request, respond))) = connection.accept().await {
            tokio::spawn(handle(request, respond));
        }
    });
}

/// The head of a gRPC response.
pub(crate) fn head() -> Response<()> {
    let head = Response::builder().header("content-type", "application/grpc");
    head.body(()).unwrap()
}

/// Status 0.
pub(crate) fn trailers() -> HeaderMap {
    let mut trailers = HeaderMap::new();
    trailers.insert("grpc-status", HeaderValue::from_static("0"));
    trailers
}

/// Sends back each chunk as it arrives, then status 0. Ends early if the client resets the stream.
pub(crate) async fn echo(request: Request<RecvStream>, mut respond: SendResponse<Bytes>) {
    let mut received = request.into_body();
    let Ok(mut sent) = respond.send_response(head(), false) else {
        return;
    };
    while let Some(Ok(data)) = received.data().await {
        let _ = received.flow_control().release_capacity(data.len());
        if send(&mut sent, data).await.is_err() {
            return;
        }
    }
    let _ = sent.send_trailers(trailers());
}

/// Sends `data` as far as the client's windows allow.
pub(crate) async fn send(stream: &mut SendStream<Bytes>, mut data: Bytes) -> Result<(), h2::Error> {
    while !data.is_empty() {
        stream.reserve_capacity(data.len());
        let capacity = poll_fn(|cx| stream.poll_capacity(cx)).await;
        let capacity = capacity.ok_or(h2::Reason::STREAM_CLOSED)??;
        stream.send_data(data.split_to(capacity.min(data.len())), false)?;
    }
    Ok(())
}
