//! Names, help texts and label spellings: written once, read by everything.

use std::fmt;

use prometheus::proto::MetricType;

/// Spelling of the values of `grpc_type` and `grpc_code`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum LabelStyle {
    /// `unary`, `server_stream`, `Canceled`: go-grpc-prometheus and go-grpc-middleware. The default.
    #[default]
    Go,
    /// `UNARY`, `SERVER_STREAMING`, `CANCELLED`: py-grpc-prometheus and java-grpc-prometheus.
    Python,
}

/// Whether and how the handling-time histogram carries `grpc_code`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum CodeLabel {
    /// No `grpc_code`, as in go-grpc-prometheus. The default.
    #[default]
    None,
    /// `OK` or `error`: two histograms per method.
    OkError,
    /// One histogram per code: 17 per method.
    Full,
}

/// Which series of a known method exist before its first call.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum ZeroInit {
    /// Every series, with all 17 codes. The default, unless there are extra labels.
    #[default]
    All,
    /// Every series, but of the codes only `OK`.
    OkOnly,
    /// None: a series appears with its first call. The default with extra labels.
    None,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Side {
    Server,
    Client,
}

/// The four kinds of RPC, as far as they are known.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Kind {
    Unary,
    ClientStream,
    ServerStream,
    BidiStream,
    Unknown,
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
    ReceivedBytes,
    SentBytes,
    ReceiveTime,
    SendTime,
    Connections,
    ConnectionsOpened,
    ConnectionsClosed,
}

pub(crate) const CODES: usize = 17;

const GO_CODES: [&str; CODES] = [
    "OK",
    "Canceled",
    "Unknown",
    "InvalidArgument",
    "DeadlineExceeded",
    "NotFound",
    "AlreadyExists",
    "PermissionDenied",
    "ResourceExhausted",
    "FailedPrecondition",
    "Aborted",
    "OutOfRange",
    "Unimplemented",
    "Internal",
    "Unavailable",
    "DataLoss",
    "Unauthenticated",
];

const PYTHON_CODES: [&str; CODES] = [
    "OK",
    "CANCELLED",
    "UNKNOWN",
    "INVALID_ARGUMENT",
    "DEADLINE_EXCEEDED",
    "NOT_FOUND",
    "ALREADY_EXISTS",
    "PERMISSION_DENIED",
    "RESOURCE_EXHAUSTED",
    "FAILED_PRECONDITION",
    "ABORTED",
    "OUT_OF_RANGE",
    "UNIMPLEMENTED",
    "INTERNAL",
    "UNAVAILABLE",
    "DATA_LOSS",
    "UNAUTHENTICATED",
];

/// Label value for a service or a method that is in no table.
pub(crate) const UNKNOWN: &str = "unknown";

// === impl LabelStyle ===

impl LabelStyle {
    pub(crate) const fn codes(self) -> &'static [&'static str; CODES] {
        match self {
            Self::Go => &GO_CODES,
            Self::Python => &PYTHON_CODES,
        }
    }

    pub(crate) const fn kind(self, kind: Kind) -> &'static str {
        match (self, kind) {
            (Self::Go, Kind::Unary) => "unary",
            (Self::Go, Kind::ClientStream) => "client_stream",
            (Self::Go, Kind::ServerStream) => "server_stream",
            (Self::Go, Kind::BidiStream) => "bidi_stream",
            (Self::Go, Kind::Unknown) => UNKNOWN,
            (Self::Python, Kind::Unary) => "UNARY",
            (Self::Python, Kind::ClientStream) => "CLIENT_STREAMING",
            (Self::Python, Kind::ServerStream) => "SERVER_STREAMING",
            (Self::Python, Kind::BidiStream) => "BIDI_STREAMING",
            (Self::Python, Kind::Unknown) => "UNKNOWN",
        }
    }
}

// === impl CodeLabel ===

impl CodeLabel {
    /// How many histograms one series has.
    pub(crate) const fn histograms(self) -> usize {
        match self {
            Self::None => 1,
            Self::OkError => 2,
            Self::Full => CODES,
        }
    }

    pub(crate) const fn slot(self, code: usize) -> usize {
        match self {
            Self::None => 0,
            Self::OkError => (code != 0) as usize,
            Self::Full => code,
        }
    }

    pub(crate) const fn value(self, style: LabelStyle, slot: usize) -> Option<&'static str> {
        match (self, slot) {
            (Self::None, _) => None,
            (Self::OkError, 0) => Some("OK"),
            (Self::OkError, _) => Some("error"),
            (Self::Full, code) => Some(style.codes()[code]),
        }
    }
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
    pub(crate) const METHOD: [Self; 10] = [
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
    ];

    pub(crate) const CONNECTION: [Self; 3] = [
        Self::Connections,
        Self::ConnectionsOpened,
        Self::ConnectionsClosed,
    ];

    /// What follows `grpc_server_` or `grpc_client_`.
    pub(crate) const fn suffix(self) -> &'static str {
        match self {
            Self::Started => "started_total",
            Self::Handled => "handled_total",
            Self::Received => "msg_received_total",
            Self::Sent => "msg_sent_total",
            Self::InFlight => "in_flight",
            Self::Handling => "handling_seconds",
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

// === impl Kind ===

impl Kind {
    pub(crate) const fn new(client_streaming: bool, server_streaming: bool) -> Self {
        match (client_streaming, server_streaming) {
            (false, false) => Self::Unary,
            (true, false) => Self::ClientStream,
            (false, true) => Self::ServerStream,
            (true, true) => Self::BidiStream,
        }
    }
}
