//! Names and help texts of the metric families.

use std::fmt;

use prometheus::proto::MetricType;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    Server,
    Client,
}

/// One metric family of one side.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Family {
    Started,
    Handled,
    Received,
    Sent,
    InFlight,
    Handling,
    CallDuration,
    ReceivedBytes,
    SentBytes,
    ReceiveTime,
    SendTime,
    Connections,
    ConnectionsOpened,
    ConnectionsClosed,
}

// === impl Side ===

impl fmt::Display for Side {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Server => "server",
            Self::Client => "client",
        })
    }
}

// === impl Family ===

impl Family {
    pub(crate) const METHOD: [Self; 11] = [
        Self::Handled,
        Self::Handling,
        Self::InFlight,
        Self::Received,
        Self::ReceiveTime,
        Self::SendTime,
        Self::Sent,
        Self::ReceivedBytes,
        Self::SentBytes,
        Self::Started,
        Self::CallDuration,
    ];

    pub(crate) const CONNECTION: [Self; 3] = [
        Self::Connections,
        Self::ConnectionsOpened,
        Self::ConnectionsClosed,
    ];

    /// The first part of the name.
    pub(crate) const fn system(self) -> &'static str {
        match self {
            Self::CallDuration => "rpc",
            _ => "grpc",
        }
    }

    /// The part of the name after the side.
    pub(crate) const fn suffix(self) -> &'static str {
        match self {
            Self::Started => "started_total",
            Self::Handled => "handled_total",
            Self::Received => "msg_received_total",
            Self::Sent => "msg_sent_total",
            Self::InFlight => "in_flight",
            Self::Handling => "handling_seconds",
            Self::CallDuration => "call_duration_seconds",
            Self::ReceivedBytes => "msg_size_received_bytes",
            Self::SentBytes => "msg_size_sent_bytes",
            Self::ReceiveTime => "msg_recv_handling_seconds",
            Self::SendTime => "msg_send_handling_seconds",
            Self::Connections => "connections",
            Self::ConnectionsOpened => "connections_opened_total",
            Self::ConnectionsClosed => "connections_closed_total",
        }
    }

    pub(crate) const fn help(self) -> &'static str {
        match self {
            Self::Started => "Total number of RPCs started.",
            Self::Handled => "Total number of RPCs completed, by gRPC code.",
            Self::Received => "Total number of messages received.",
            Self::Sent => "Total number of messages sent.",
            Self::InFlight => "RPCs started and not yet completed.",
            Self::CallDuration => "Duration in seconds of RPCs, by status code.",
            Self::Handling => "Time in seconds from the start of an RPC to its end.",
            Self::ReceivedBytes => "Size in bytes of the messages received, as on the wire.",
            Self::SentBytes => "Size in bytes of the messages sent, as on the wire.",
            Self::ReceiveTime => "Time in seconds that readers waited for a message.",
            Self::SendTime => "Time in seconds that messages waited for the transport.",
            Self::Connections => "Connections open now.",
            Self::ConnectionsOpened => "Total number of connections accepted.",
            Self::ConnectionsClosed => "Total number of connections closed.",
        }
    }

    pub(crate) const fn metric_type(self) -> MetricType {
        match self {
            Self::Started | Self::Handled | Self::Received | Self::Sent => MetricType::COUNTER,
            Self::ConnectionsOpened | Self::ConnectionsClosed => MetricType::COUNTER,
            Self::InFlight | Self::Connections => MetricType::GAUGE,
            _ => MetricType::HISTOGRAM,
        }
    }
}
