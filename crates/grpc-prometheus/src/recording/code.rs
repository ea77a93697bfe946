//! Maps the end of a call to its gRPC code.

use std::{any::Any, error::Error as StdError, io, iter};

use http::{HeaderMap, HeaderName, HeaderValue, StatusCode};

use super::headers;

/// A gRPC status code as an index: 0 (`OK`) to 16 (`Unauthenticated`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Code(u8);

pub(crate) type BoxError = Box<dyn StdError + Send + Sync>;

/// Reads an error of one type. A type parameter cannot say "an error, or a boxed one".
type ReadError = fn(&dyn Any) -> Option<&(dyn StdError + 'static)>;

const KNOWN: &[ReadError] = &[
    |error| Some(&**error.downcast_ref::<BoxError>()?),
    read::<io::Error>,
    #[cfg(feature = "tonic")]
    read::<tonic::Status>,
    #[cfg(feature = "tonic")]
    read::<tonic::TimeoutExpired>,
    #[cfg(feature = "tonic")]
    read::<tonic::ConnectError>,
    #[cfg(feature = "tonic")]
    read::<tower::timeout::error::Elapsed>,
    #[cfg(feature = "tonic")]
    read::<tower::load_shed::error::Overloaded>,
    #[cfg(feature = "tonic")]
    read::<hyper::Error>,
    #[cfg(feature = "tonic")]
    read::<h2::Error>,
    #[cfg(feature = "connections")]
    read::<tonic::transport::Error>,
];

pub(crate) static GRPC_STATUS: HeaderName = HeaderName::from_static("grpc-status");

// === impl Code ===

impl Code {
    pub(crate) const OK: Self = Self(0);
    pub(crate) const CANCELED: Self = Self(1);
    pub(crate) const UNKNOWN: Self = Self(2);
    pub(crate) const DEADLINE_EXCEEDED: Self = Self(4);
    pub(crate) const PERMISSION_DENIED: Self = Self(7);
    #[cfg(feature = "tonic")]
    const RESOURCE_EXHAUSTED: Self = Self(8);
    pub(crate) const UNIMPLEMENTED: Self = Self(12);
    pub(crate) const INTERNAL: Self = Self(13);
    pub(crate) const UNAVAILABLE: Self = Self(14);
    pub(crate) const UNAUTHENTICATED: Self = Self(16);

    pub(crate) const fn index(self) -> usize {
        self.0 as usize
    }

    /// Numbers above 16 and malformed values are `Unknown`, as in tonic.
    pub(crate) fn from_digits(digits: &[u8]) -> Self {
        match digits {
            [d @ b'0'..=b'9'] => Self(d - b'0'),
            [b'1', d @ b'0'..=b'6'] => Self(10 + d - b'0'),
            _ => Self::UNKNOWN,
        }
    }

    #[inline]
    pub(crate) fn from_headers(headers: &HeaderMap) -> Option<Self> {
        headers::get(headers, &GRPC_STATUS).map(Self::from_value)
    }

    #[inline]
    pub(crate) fn from_value(status: &HeaderValue) -> Self {
        Self::from_digits(status.as_bytes())
    }

    /// The code of a response without `grpc-status`.
    pub(crate) fn from_http(status: StatusCode) -> Self {
        match status.as_u16() {
            400 => Self::INTERNAL,
            401 => Self::UNAUTHENTICATED,
            403 => Self::PERMISSION_DENIED,
            404 => Self::UNIMPLEMENTED,
            429 | 502 | 503 | 504 => Self::UNAVAILABLE,
            _ => Self::UNKNOWN,
        }
    }

    /// The code of a service's error: of one that is boxed, or of a type that has a code itself.
    pub(crate) fn from_any(error: &dyn Any) -> Self {
        let found = KNOWN.iter().find_map(|known| known(error));
        found.map_or(Self::UNKNOWN, Self::from_error)
    }

    /// The code of the first error in the chain that has one, else `Unknown`.
    pub(crate) fn from_error(error: &(dyn StdError + 'static)) -> Self {
        causes(error)
            .find_map(Self::from_one_error)
            .unwrap_or(Self::UNKNOWN)
    }

    #[cfg(feature = "tonic")]
    fn from_one_error(error: &(dyn StdError + 'static)) -> Option<Self> {
        if let Some(status) = error.downcast_ref::<tonic::Status>() {
            // tonic maps a lost connection to `Unknown`; the transport error below is more precise.
            let translated = status
                .source()
                .is_some_and(|source| source.is::<hyper::Error>());
            return (!translated).then_some(Self(status.code() as u8));
        }
        if error.is::<tonic::TimeoutExpired>() || error.is::<tower::timeout::error::Elapsed>() {
            return Some(Self::DEADLINE_EXCEEDED);
        }
        if error.is::<tonic::ConnectError>() || error.is::<io::Error>() {
            return Some(Self::UNAVAILABLE);
        }
        if error.is::<tower::load_shed::error::Overloaded>() {
            return Some(Self::RESOURCE_EXHAUSTED);
        }
        if let Some(error) = error.downcast_ref::<h2::Error>() {
            return Some(Self::from_h2(error));
        }
        let error = error.downcast_ref::<hyper::Error>()?;
        match error {
            _ if error.is_timeout() => Some(Self::UNAVAILABLE),
            _ if error.is_canceled() => Some(Self::CANCELED),
            _ => None,
        }
    }

    #[cfg(not(feature = "tonic"))]
    fn from_one_error(error: &(dyn StdError + 'static)) -> Option<Self> {
        error.is::<io::Error>().then_some(Self::UNAVAILABLE)
    }

    #[cfg(feature = "tonic")]
    fn from_h2(error: &h2::Error) -> Self {
        use h2::Reason;
        if error.is_io() || error.is_go_away() {
            return Self::UNAVAILABLE;
        }
        match error.reason() {
            Some(
                Reason::NO_ERROR
                | Reason::PROTOCOL_ERROR
                | Reason::INTERNAL_ERROR
                | Reason::FLOW_CONTROL_ERROR
                | Reason::SETTINGS_TIMEOUT
                | Reason::FRAME_SIZE_ERROR
                | Reason::COMPRESSION_ERROR
                | Reason::CONNECT_ERROR,
            ) => Self::INTERNAL,
            Some(Reason::REFUSED_STREAM) => Self::UNAVAILABLE,
            Some(Reason::CANCEL) => Self::CANCELED,
            Some(Reason::ENHANCE_YOUR_CALM) => Self::RESOURCE_EXHAUSTED,
            Some(Reason::INADEQUATE_SECURITY) => Self::PERMISSION_DENIED,
            _ => Self::UNKNOWN,
        }
    }
}

fn read<E: StdError + 'static>(error: &dyn Any) -> Option<&(dyn StdError + 'static)> {
    Some(error.downcast_ref::<E>()?)
}

fn causes<'a>(
    error: &'a (dyn StdError + 'static),
) -> impl Iterator<Item = &'a (dyn StdError + 'static)> {
    iter::successors(Some(error), |error: &&'a (dyn StdError + 'static)| {
        let error = *error;
        // Its `source` skips the error that it wraps.
        let wrapped = error.downcast_ref().and_then(io::Error::get_ref);
        match wrapped {
            Some(wrapped) => Some(wrapped as &'a (dyn StdError + 'static)),
            None => error.source(),
        }
    })
}

/// Whether the error means that the sender of the body, or its connection, is gone. A layer outside
/// may fail for other reasons, such as corrupt gzip, which it reports as an [`io::Error`] too.
pub(crate) fn is_reset(error: &(dyn StdError + 'static)) -> bool {
    let is_lost = |error: &io::Error| {
        use io::ErrorKind::{
            BrokenPipe, ConnectionAborted, ConnectionReset, NotConnected, TimedOut,
        };
        let kinds = [
            BrokenPipe,
            ConnectionAborted,
            ConnectionReset,
            NotConnected,
            TimedOut,
        ];
        kinds.contains(&error.kind())
    };
    causes(error).any(|error| error.downcast_ref().is_some_and(is_lost) || is_transport(error))
}

#[cfg(feature = "tonic")]
fn is_transport(error: &(dyn StdError + 'static)) -> bool {
    let canceled = |status: &tonic::Status| status.code() == tonic::Code::Cancelled;
    let canceled = error.downcast_ref().is_some_and(canceled);
    canceled || error.is::<h2::Error>() || error.is::<hyper::Error>()
}

#[cfg(not(feature = "tonic"))]
fn is_transport(_: &(dyn StdError + 'static)) -> bool {
    false
}
