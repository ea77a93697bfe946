//! Values of the labels `grpc_type` and `grpc_code`.

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
    /// One histogram per code: 17 per method. Those of errors appear with the first call that has
    /// the code, whatever [`ZeroInit`](crate::ZeroInit) says.
    Full,
}

/// The four types of RPC, and `Unknown` for undeclared methods.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Kind {
    Unary,
    ClientStream,
    ServerStream,
    BidiStream,
    Unknown,
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

/// Label value of unknown services and methods.
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
    /// The number of handling-time histograms of a series.
    pub(crate) const fn histograms(self) -> usize {
        match self {
            Self::None => 1,
            Self::OkError => 2,
            Self::Full => CODES,
        }
    }

    pub(crate) const fn histogram_index(self, code: usize) -> usize {
        match self {
            Self::None => 0,
            Self::OkError => (code != 0) as usize,
            Self::Full => code,
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
