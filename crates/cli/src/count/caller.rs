//! The five ways to call the counter.

use std::hint::black_box;
use std::time::Duration;

use futures_util::stream;
use http_body_util::{BodyExt, Empty};
use hyper::Request;
use hyper::body::Bytes;
use hyper::client::conn::http1::SendRequest;
use hyper_util::rt::TokioIo;
use serde_json::Value;
use tokio::net::TcpStream;
use tokio::sync::mpsc;
use tokio::time::timeout;
use tonic::Streaming;
use vitalmesh_chassis::{BoxError, Uri};
use vitalmesh_counter::{Increase, increase};
use vitalmesh_matched::{Matched, Settings};
use vitalmesh_proto::counter::v1::counter_service_client::CounterServiceClient;
use vitalmesh_proto::counter::v1::{
    IncreaseRequest, IncreaseStreamRequest, IncreaseStreamResponse,
};
use vitalmesh_transport::Transport;

const TIMEOUT: Duration = Duration::from_secs(5);

type Client = CounterServiceClient<Transport>;

/// Connections that the callers share.
#[derive(Debug)]
pub(crate) enum Target {
    Function,
    Rest(Uri),
    Unary(Client),
    Stream(Client),
    Matched(Matched<Increase<Transport>>),
}

/// A caller and its own connection or stream.
#[derive(Debug)]
pub(crate) enum Caller {
    Function,
    Rest(SendRequest<Empty<Bytes>>, Uri),
    Unary(Client),
    Stream {
        requests: mpsc::Sender<IncreaseStreamRequest>,
        responses: Streaming<IncreaseStreamResponse>,
    },
    Matched(Matched<Increase<Transport>>),
}

// === impl Target ===

impl Target {
    pub(crate) async fn unary(url: Uri) -> Result<Self, BoxError> {
        Ok(Self::Unary(connect(url).await?))
    }

    pub(crate) async fn stream(url: Uri) -> Result<Self, BoxError> {
        Ok(Self::Stream(connect(url).await?))
    }

    pub(crate) async fn matched(url: Uri, callers: u16) -> Result<Self, BoxError> {
        let settings = Settings {
            max_in_flight: callers,
            timeout: TIMEOUT,
            ..Settings::default()
        };
        let increase = Increase(connect(url).await?);
        Ok(Self::Matched(Matched::new(increase, settings)))
    }

    pub(crate) async fn caller(&self) -> Result<Caller, BoxError> {
        Ok(match self {
            Self::Function => Caller::Function,
            Self::Rest(url) => Caller::rest(url)
                .await
                .map_err(|error| unreachable(url, &*error))?,
            Self::Unary(client) => Caller::Unary(client.clone()),
            Self::Stream(client) => Caller::stream(client.clone()).await?,
            Self::Matched(matched) => Caller::Matched(matched.clone()),
        })
    }
}

// === impl Caller ===

impl Caller {
    async fn rest(url: &Uri) -> Result<Self, BoxError> {
        let authority = url.authority().map_or("", |authority| authority.as_str());
        let stream = TcpStream::connect(authority).await?;
        stream.set_nodelay(true)?;
        let (sender, connection) =
            hyper::client::conn::http1::handshake(TokioIo::new(stream)).await?;
        // It ends when the sender is dropped.
        tokio::spawn(connection);
        Ok(Self::Rest(sender, url.clone()))
    }

    async fn stream(mut client: Client) -> Result<Self, BoxError> {
        let (requests, receiver) = mpsc::channel(1);
        let received = stream::unfold(receiver, async |mut receiver: mpsc::Receiver<_>| {
            Some((receiver.recv().await?, receiver))
        });
        let responses = client.increase_stream(received).await?.into_inner();
        Ok(Self::Stream {
            requests,
            responses,
        })
    }

    /// Calls the counter for the number after `num`.
    pub(crate) async fn next(&mut self, num: i32) -> Result<i32, BoxError> {
        let request = IncreaseStreamRequest { num, request_id: 0 };
        match self {
            Self::Function => Ok(increase(black_box(num))?),
            Self::Rest(sender, url) => get(sender, url, num).await,
            Self::Unary(client) => {
                let response = timeout(TIMEOUT, client.increase(IncreaseRequest { num })).await??;
                Ok(response.into_inner().num)
            }
            Self::Stream {
                requests,
                responses,
            } => {
                // Where this fails, the stream has ended, and its status is the better error.
                let _ = requests.send(request).await;
                let response = responses.message().await?;
                Ok(response.ok_or("the stream ended before the response")?.num)
            }
            Self::Matched(matched) => Ok(matched.call(request).await?.num),
        }
    }

    /// Ends the caller's stream in order and waits for the server's status. A program that exits
    /// before cancels the stream, which the server counts.
    pub(crate) async fn end(self) -> Result<(), BoxError> {
        match self {
            Self::Function | Self::Rest(..) | Self::Unary(_) => Ok(()),
            Self::Stream {
                requests,
                mut responses,
            } => {
                drop(requests);
                match timeout(TIMEOUT, responses.message()).await?? {
                    None => Ok(()),
                    Some(_) => Err("the counter responded without a request".into()),
                }
            }
            Self::Matched(matched) => {
                matched.close().await;
                Ok(())
            }
        }
    }
}

async fn get(sender: &mut SendRequest<Empty<Bytes>>, url: &Uri, num: i32) -> Result<i32, BoxError> {
    let host = url.authority().map_or("", |authority| authority.as_str());
    let request = Request::get(format!("/increase/{num}"))
        .header("host", host)
        .body(Empty::new())?;
    sender.ready().await?;
    let response = sender.send_request(request).await?;
    let body = response.into_body().collect().await?.to_bytes();
    let body: Value = serde_json::from_slice(&body)?;
    let next = body["num"].as_i64().and_then(|num| i32::try_from(num).ok());
    next.ok_or_else(|| format!("the response to GET /increase/{num} is {body}").into())
}

async fn connect(url: Uri) -> Result<Client, BoxError> {
    let transport = Transport::new(url.clone());
    let connected = transport.connect().await;
    connected.map_err(|error| unreachable(&url, &error))?;
    Ok(CounterServiceClient::new(transport))
}

fn unreachable(url: &Uri, error: &dyn std::error::Error) -> BoxError {
    let mut cause = error;
    while let Some(source) = cause.source() {
        cause = source;
    }
    format!("no counter at {url}: {cause}; start one with `mesh up`").into()
}
