//! The transports under test, behind one face.

use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response, Uri};
use hyper_util::client::legacy::connect::HttpConnector;
use tonic::body::Body;
use tonic::transport::{Channel, Endpoint};
use tower::{BoxError, Service};
use vitalmesh_transport::{ResponseBody, Transport};

use crate::deviations::{self, Deviation};
use crate::wire::{Connector, Wire};

/// A way to make transports. To put another transport through the suite, implement this for it.
pub(crate) trait Stack: 'static {
    type Transport: Service<Request<Body>, Response = Response<Self::Body>, Error: Into<BoxError>, Future: Send>
        + Clone
        + Send
        + Sync
        + 'static;
    type Body: http_body::Body<Data = Bytes, Error: Into<BoxError>> + Send + Unpin + 'static;

    /// Whether its cases run under paused time, which needs connections in memory.
    const PAUSED: bool = true;

    /// How long a case may take.
    const PATIENCE: Duration = Duration::from_secs(7200);

    /// The cases that it does not pass.
    const DEVIATIONS: &[Deviation];

    /// A new transport, and the far end of its connections.
    fn dial() -> (Self::Transport, Wire);
}

/// [`Transport`] over pipes in memory.
#[derive(Debug)]
pub(crate) struct InMemory;

/// [`Transport`] over TCP.
#[derive(Debug)]
pub(crate) struct OverTcp;

/// tonic's own channel over pipes in memory, with the settings of [`Transport`].
#[derive(Debug)]
pub(crate) struct Tonic;

fn uri(wire: &Wire) -> Uri {
    format!("http://{}", wire.authority()).parse().unwrap()
}

// === impl InMemory ===

impl Stack for InMemory {
    type Transport = Transport<Connector>;
    type Body = ResponseBody;

    const DEVIATIONS: &[Deviation] = deviations::TRANSPORT;

    fn dial() -> (Self::Transport, Wire) {
        let (wire, connector) = Wire::memory();
        (Transport::with_connector(uri(&wire), connector), wire)
    }
}

// === impl OverTcp ===

impl Stack for OverTcp {
    type Transport = Transport<HttpConnector>;
    type Body = ResponseBody;

    const PAUSED: bool = false;
    const PATIENCE: Duration = Duration::from_secs(20);
    const DEVIATIONS: &[Deviation] = deviations::TRANSPORT;

    fn dial() -> (Self::Transport, Wire) {
        let wire = Wire::tcp();
        (Transport::new(uri(&wire)), wire)
    }
}

// === impl Tonic ===

impl Stack for Tonic {
    type Transport = Channel;
    type Body = Body;

    const DEVIATIONS: &[Deviation] = deviations::TONIC;

    fn dial() -> (Self::Transport, Wire) {
        let (wire, connector) = Wire::memory();
        let endpoint = Endpoint::from(uri(&wire))
            .connect_timeout(Duration::from_secs(1))
            .http2_keep_alive_interval(Duration::from_secs(5))
            .keep_alive_timeout(Duration::from_secs(2))
            .keep_alive_while_idle(true)
            .initial_stream_window_size(256 << 10)
            .initial_connection_window_size(1 << 20)
            .http2_max_header_list_size(16 << 10);
        (endpoint.connect_with_connector_lazy(connector), wire)
    }
}
