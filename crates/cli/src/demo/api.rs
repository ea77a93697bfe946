//! The queries of the tour to Prometheus's HTTP API.

use std::net::SocketAddr;
use std::time::Duration;

use http_body_util::{BodyExt, Empty};
use hyper::body::Bytes;
use hyper_util::rt::TokioIo;
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use serde_json::Value;
use tokio::net::TcpStream;
use vitalmesh_chassis::BoxError;

const TIMEOUT: Duration = Duration::from_secs(5);

/// The HTTP API of a Prometheus.
#[derive(Clone, Copy, Debug)]
pub(super) struct Api {
    address: SocketAddr,
}

// === impl Api ===

impl Api {
    pub(super) const fn new(address: SocketAddr) -> Self {
        Self { address }
    }

    /// The URLs of the pages for expressions and for alerts.
    pub(super) async fn pages(&self) -> [String; 2] {
        // The only pages in Debian's package.
        let classic = get(self.address, "/classic/alerts").await;
        let alerts = match classic {
            Ok((200, _)) => "/classic/alerts",
            _ => "/alerts",
        };
        ["/graph", alerts].map(|page| format!("http://{}{page}", self.address))
    }

    pub(super) async fn is_ready(&self) -> bool {
        matches!(get(self.address, "/-/ready").await, Ok((200, _)))
    }

    /// The value of an expression that has one series or none.
    pub(super) async fn value(&self, expression: &str) -> Result<Option<f64>, BoxError> {
        value(&self.series(expression).await?)
    }

    /// The names of the firing alerts.
    pub(super) async fn firing(&self) -> Result<Vec<String>, BoxError> {
        let series = self.series(r#"ALERTS{alertstate="firing"}"#).await?;
        let names = series.iter().map(|one| &one["metric"]["alertname"]);
        Ok(names.filter_map(Value::as_str).map(str::to_owned).collect())
    }

    async fn series(&self, expression: &str) -> Result<Vec<Value>, BoxError> {
        let query = utf8_percent_encode(expression, NON_ALPHANUMERIC);
        let (_, body) = get(self.address, &format!("/api/v1/query?query={query}")).await?;
        series(serde_json::from_slice(&body)?)
    }
}

fn series(mut response: Value) -> Result<Vec<Value>, BoxError> {
    match (
        response["data"]["result"].take(),
        response["error"].as_str(),
    ) {
        (Value::Array(series), None) => Ok(series),
        (_, error) => Err(error.unwrap_or("the response has no result").into()),
    }
}

fn value(series: &[Value]) -> Result<Option<f64>, BoxError> {
    match series {
        [] => Ok(None),
        [one] => Ok(Some(one["value"][1].as_str().unwrap_or_default().parse()?)),
        more => Err(format!("{} series where one was expected", more.len()).into()),
    }
}

/// GETs a path on a connection of its own: status and body, within 5 s.
pub(super) async fn get(address: SocketAddr, path: &str) -> Result<(u16, Bytes), BoxError> {
    let exchange = async {
        let stream = TcpStream::connect(address).await?;
        let (mut sender, connection) =
            hyper::client::conn::http1::handshake(TokioIo::new(stream)).await?;
        let request = hyper::Request::get(path)
            .header("host", address.to_string())
            .body(Empty::<Bytes>::new())?;
        let response = async {
            let (head, body) = sender.send_request(request).await?.into_parts();
            let body = body.collect().await?.to_bytes();
            Ok((head.status.as_u16(), body))
        };
        tokio::pin!(connection);
        tokio::select! {
            response = response => response,
            // The connection may be done before the last byte of the response is read.
            Err(error) = &mut connection => Err(error.into()),
        }
    };
    let late = |_| format!("http://{address}{path} did not respond within {TIMEOUT:?}");
    tokio::time::timeout(TIMEOUT, exchange)
        .await
        .map_err(late)?
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_response_is_a_value_none_or_an_error() {
        let one = json!({"metric": {}, "value": [1.5, "0.25"]});
        let parsed = |response: Value| match series(response).and_then(|series| value(&series)) {
            Ok(value) => Ok(value),
            Err(error) => Err(error.to_string()),
        };
        let response = |series: &[&Value]| json!({"data": {"result": series}});
        let error = |text: &str| Err(text.to_owned());
        assert_eq!(parsed(response(&[&one])), Ok(Some(0.25)));
        assert_eq!(parsed(response(&[])), Ok(None));
        assert_eq!(
            parsed(response(&[&one, &one])),
            error("2 series where one was expected")
        );
        assert_eq!(
            parsed(json!({"error": "parse error"})),
            error("parse error")
        );
        assert_eq!(parsed(json!({})), error("the response has no result"));
    }
}
