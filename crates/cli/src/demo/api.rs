//! What the tour asks of Prometheus' HTTP API.

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

/// A Prometheus.
#[derive(Clone, Copy, Debug)]
pub(super) struct Api {
    address: SocketAddr,
}

// === impl Api ===

impl Api {
    pub(super) const fn new(address: SocketAddr) -> Self {
        Self { address }
    }

    /// Where a person can ask an expression, and where the alerts are.
    pub(super) async fn pages(&self) -> [String; 2] {
        // Debian's package has no other.
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

    /// The value of an expression that gives one series or none.
    pub(super) async fn value(&self, expression: &str) -> Result<Option<f64>, BoxError> {
        value(&self.series(expression).await?)
    }

    /// The names of the alerts that fire.
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

fn series(mut answer: Value) -> Result<Vec<Value>, BoxError> {
    match (answer["data"]["result"].take(), answer["error"].as_str()) {
        (Value::Array(series), None) => Ok(series),
        (_, error) => Err(error.unwrap_or("the answer holds no result").into()),
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
        let answer = async {
            let (head, body) = sender.send_request(request).await?.into_parts();
            let body = body.collect().await?.to_bytes();
            Ok((head.status.as_u16(), body))
        };
        tokio::pin!(connection);
        tokio::select! {
            answer = answer => answer,
            // Done once the last byte of the answer is read: read on.
            Err(error) = &mut connection => Err(error.into()),
        }
    };
    let late = |_| format!("http://{address}{path} did not answer within {TIMEOUT:?}");
    tokio::time::timeout(TIMEOUT, exchange)
        .await
        .map_err(late)?
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn an_answer_is_a_value_nothing_or_the_reason() {
        let one = json!({"metric": {}, "value": [1.5, "0.25"]});
        let asked = |answer: Value| match series(answer).and_then(|series| value(&series)) {
            Ok(value) => Ok(value),
            Err(error) => Err(error.to_string()),
        };
        let answer = |series: &[&Value]| json!({"data": {"result": series}});
        let error = |text: &str| Err(text.to_owned());
        assert_eq!(asked(answer(&[&one])), Ok(Some(0.25)));
        assert_eq!(asked(answer(&[])), Ok(None));
        assert_eq!(
            asked(answer(&[&one, &one])),
            error("2 series where one was expected")
        );
        assert_eq!(asked(json!({"error": "parse error"})), error("parse error"));
        assert_eq!(asked(json!({})), error("the answer holds no result"));
    }
}
