//! Trace positions and the W3C `traceparent` header.

use std::fmt;
use std::num::NonZeroU64;

use http::{HeaderName, HeaderValue};

/// The W3C header that propagates a trace.
pub const TRACEPARENT: HeaderName = HeaderName::from_static("traceparent");

/// A span's position in a trace, as in the `traceparent` header of W3C Trace Context.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TraceContext {
    /// The id that all spans of the trace share; never 0.
    pub trace_id: u128,
    /// The id of this span; never 0.
    pub span_id: u64,
    /// The id of the parent span; `None` for a root span.
    pub parent_id: Option<NonZeroU64>,
    /// Whether the trace is recorded.
    pub sampled: bool,
}

// === impl TraceContext ===

impl TraceContext {
    /// A new trace, not sampled. The recorder of the trace makes the sampling decision.
    pub fn root() -> Self {
        Self {
            trace_id: fastrand::u128(1..),
            span_id: fastrand::u64(1..),
            parent_id: None,
            sampled: false,
        }
    }

    /// A new child span in the same trace.
    #[must_use]
    pub fn child(self) -> Self {
        Self {
            span_id: fastrand::u64(1..),
            parent_id: NonZeroU64::new(self.span_id),
            ..self
        }
    }

    /// Parses a `traceparent` header; `None` if it is malformed.
    pub fn parse(header: &HeaderValue) -> Option<Self> {
        let (fixed, rest) = header.as_bytes().split_at_checked(55)?;
        let dashes = [2, 35, 52].map(|at| fixed[at]);
        let version = hex(&fixed[..2])?;
        let trace_id = hex(&fixed[3..35])?;
        let span_id = u64::try_from(hex(&fixed[36..52])?).ok()?;
        let flags = hex(&fixed[53..])?;
        let more = !rest.is_empty();
        if dashes != *b"---" || (more && rest[0] != b'-') {
            return None;
        }
        if version == 0xff || (version == 0 && more) || trace_id == 0 || span_id == 0 {
            return None;
        }
        Some(Self {
            trace_id,
            span_id,
            parent_id: None,
            sampled: flags & 1 == 1,
        })
    }

    /// The `traceparent` header that makes this span the parent.
    ///
    /// Marked as sensitive, so that HPACK does not index a value that differs in each request.
    pub fn header(&self) -> HeaderValue {
        let mut text = [0_u8; 55];
        text[..3].copy_from_slice(b"00-");
        write_hex(&mut text[3..35], self.trace_id);
        text[35] = b'-';
        write_hex(&mut text[36..52], self.span_id.into());
        text[52..].copy_from_slice(if self.sampled { b"-01" } else { b"-00" });
        let mut header =
            HeaderValue::from_bytes(&text).unwrap_or_else(|_| HeaderValue::from_static(""));
        header.set_sensitive(true);
        header
    }
}

impl fmt::Display for TraceContext {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:032x}", self.trace_id)
    }
}

fn hex(digits: &[u8]) -> Option<u128> {
    digits.iter().try_fold(0, |value, digit| {
        let digit = match digit {
            b'0'..=b'9' => digit - b'0',
            b'a'..=b'f' => digit - b'a' + 10,
            _ => return None,
        };
        Some(value << 4 | u128::from(digit))
    })
}

fn write_hex(digits: &mut [u8], mut value: u128) {
    for digit in digits.iter_mut().rev() {
        *digit = b"0123456789abcdef"[(value & 0xf) as usize];
        value >>= 4;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn header(text: &'static str) -> HeaderValue {
        HeaderValue::from_static(text)
    }

    #[test]
    fn a_traceparent_survives_a_round_trip() {
        let text = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
        let trace = TraceContext::parse(&header(text)).unwrap();
        assert_eq!(trace.to_string(), "4bf92f3577b34da6a3ce929d0e0e4736");
        assert_eq!(trace.header(), text);
        assert_eq!(trace.child().trace_id, trace.trace_id);
        assert_ne!(trace.child().span_id, trace.span_id);
        assert_eq!(trace.child().parent_id, NonZeroU64::new(trace.span_id));
    }

    #[test]
    fn a_malformed_traceparent_is_rejected() {
        for text in [
            "",
            "00",
            "00-00000000000000000000000000000000-00f067aa0ba902b7-01",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-0000000000000000-01",
            "00-4BF92F3577B34DA6A3CE929D0E0E4736-00f067aa0ba902b7-01",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01-more",
            "ff-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
            "00-+bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
        ] {
            assert_eq!(TraceContext::parse(&header(text)), None, "{text}");
        }
        let later = "01-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01-more";
        assert!(TraceContext::parse(&header(later)).is_some());
    }
}
