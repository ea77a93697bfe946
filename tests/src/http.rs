//! A small HTTP/1 client, with a connection per request.

use http::{HeaderMap, Request};
use http_body_util::{BodyExt, Full};
use hyper::body::Bytes;
use hyper_util::rt::TokioIo;
use serde_json::Value;
use std::net::SocketAddr;
use tokio::net::TcpStream;
use vitalmesh_chassis::BoxError;

/// A complete response.
#[derive(Debug)]
pub struct HttpResponse {
    pub status: u16,
    pub headers: HeaderMap,
    pub body: String,
}

impl HttpResponse {
    /// The value of a header; empty where it is missing.
    pub fn header(&self, name: &str) -> &str {
        self.headers
            .get(name)
            .map_or("", |value| value.to_str().unwrap())
    }

    /// The body as JSON; `null` where it is not JSON.
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or_default()
    }
}

/// GETs a path.
///
/// # Panics
///
/// No complete response arrives.
pub async fn get(address: SocketAddr, path: &str) -> HttpResponse {
    send(address, Request::get(path)).await.unwrap()
}

/// Sends a request without a body.
///
/// # Errors
///
/// No complete response arrives.
pub async fn send(
    address: SocketAddr,
    request: http::request::Builder,
) -> Result<HttpResponse, BoxError> {
    exchange(address, request, Bytes::new()).await
}

/// Sends a request with JSON.
///
/// # Errors
///
/// No complete response arrives.
pub async fn send_json(
    address: SocketAddr,
    request: http::request::Builder,
    json: &Value,
) -> Result<HttpResponse, BoxError> {
    let request = request.header("content-type", "application/json");
    exchange(address, request, json.to_string().into()).await
}

async fn exchange(
    address: SocketAddr,
    request: http::request::Builder,
    body: Bytes,
) -> Result<HttpResponse, BoxError> {
    let stream = TcpStream::connect(address).await?;
    let (mut sender, connection) =
        hyper::client::conn::http1::handshake(TokioIo::new(stream)).await?;
    let exchange = async {
        let request = request
            .header("host", address.to_string())
            .body(Full::new(body))?;
        let (head, body) = sender.send_request(request).await?.into_parts();
        let body = body.collect().await?.to_bytes();
        Ok::<_, BoxError>(HttpResponse {
            status: head.status.as_u16(),
            headers: head.headers,
            body: String::from_utf8(body.into())?,
        })
    };
    tokio::pin!(connection);
    tokio::select! {
        response = exchange => response,
        // The connection may be done before the last byte of the response is read.
        Err(error) = &mut connection => Err(error.into()),
    }
}
