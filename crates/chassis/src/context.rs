//! What a call carries from hop to hop: its trace and its deadline.

use std::fmt;
use std::future::Future;
use std::num::NonZeroU64;
use std::time::Duration;

use http::{HeaderMap, HeaderName, HeaderValue};
use tokio::task::futures::TaskLocalFuture;
use tokio::time::Instant;

/// The W3C header that carries a trace from hop to hop.
pub(crate) const TRACEPARENT: HeaderName = HeaderName::from_static("traceparent");
/// The gRPC header that carries how long the caller waits.
pub(crate) const GRPC_TIMEOUT: HeaderName = HeaderName::from_static("grpc-timeout");

tokio::task_local! {
    static CURRENT: CallContext;
}

/// The call that the current task works for.
///
/// Set by the server stack around each handler and each poll of its response body, read by
/// client channels and by the log format. A task that a handler spawns does not inherit it.
#[derive(Clone, Copy, Debug)]
pub struct CallContext {
    /// The trace, and this hop's own span in it.
    pub trace: TraceContext,
    /// When the caller stops waiting; `None` where nothing bounds the call.
    pub deadline: Option<Instant>,
}

/// A position in a trace, as in the `traceparent` header of W3C Trace Context.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TraceContext {
    /// Common to all spans of the trace; never 0.
    pub trace_id: u128,
    /// This span; never 0.
    pub span_id: u64,
    /// The span that caused this one; `None` where the trace begins.
    pub parent_id: Option<NonZeroU64>,
    /// Whether the trace is recorded.
    pub sampled: bool,
}

// === impl CallContext ===

impl CallContext {
    /// The context of a call that arrives with these headers: its trace goes on in a new span,
    /// or begins here; its deadline is the caller's `grpc-timeout`, but at most `limit`.
    pub fn from_headers(headers: &HeaderMap, limit: Option<Duration>) -> Self {
        let trace = headers
            .get(TRACEPARENT)
            .and_then(TraceContext::parse)
            .map_or_else(TraceContext::root, TraceContext::child);
        let asked = asked_timeout(headers);
        let allowed = match (asked, limit) {
            (Some(asked), Some(limit)) => Some(asked.min(limit)),
            (asked, limit) => asked.or(limit),
        };
        Self {
            trace,
            deadline: allowed.and_then(|allowed| Instant::now().checked_add(allowed)),
        }
    }

    /// The context of work that no call asked for, such as a task.
    pub fn root(limit: Option<Duration>) -> Self {
        Self::from_headers(&HeaderMap::new(), limit)
    }

    /// The context that the running task works under, if any.
    pub fn current() -> Option<Self> {
        CURRENT.try_with(|context| *context).ok()
    }

    /// Runs a future under this context.
    pub fn scope<F: Future>(self, future: F) -> TaskLocalFuture<Self, F> {
        CURRENT.scope(self, future)
    }

    /// Runs a closure under this context.
    pub fn sync_scope<T>(self, run: impl FnOnce() -> T) -> T {
        CURRENT.sync_scope(self, run)
    }
}

// === impl TraceContext ===

impl TraceContext {
    /// A new trace, not sampled: whoever records traces decides that.
    pub fn root() -> Self {
        Self {
            trace_id: fastrand::u128(1..),
            span_id: fastrand::u64(1..),
            parent_id: None,
            sampled: false,
        }
    }

    /// A new span of the same trace.
    #[must_use]
    pub fn child(self) -> Self {
        Self {
            span_id: fastrand::u64(1..),
            parent_id: NonZeroU64::new(self.span_id),
            ..self
        }
    }

    /// Reads a `traceparent` header; `None` if it is not one.
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

    /// The `traceparent` header that names this span as the parent.
    ///
    /// Marked as sensitive, so that HPACK does not push what is new in each call through its
    /// table.
    pub(crate) fn header(&self) -> HeaderValue {
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

/// How long a call's headers say that its caller waits.
pub(crate) fn asked_timeout(headers: &HeaderMap) -> Option<Duration> {
    headers.get(GRPC_TIMEOUT).and_then(parse_timeout)
}

/// Reads a `grpc-timeout` header: 1 to 8 digits and a unit. Anything else is no timeout, as in
/// the other gRPC implementations.
fn parse_timeout(header: &HeaderValue) -> Option<Duration> {
    let text = header.to_str().ok()?;
    let (digits, unit) = text.split_at_checked(text.len().checked_sub(1)?)?;
    if digits.is_empty() || digits.len() > 8 || !digits.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    let count: u64 = digits.parse().ok()?;
    Some(match unit {
        "H" => Duration::from_secs(count * 3600),
        "M" => Duration::from_secs(count * 60),
        "S" => Duration::from_secs(count),
        "m" => Duration::from_millis(count),
        "u" => Duration::from_micros(count),
        "n" => Duration::from_nanos(count),
        _ => return None,
    })
}

/// Writes what is left of a deadline as a `grpc-timeout` header, never more than is left.
/// Sensitive for the same reason as the trace.
pub(crate) fn timeout_header(left: Duration) -> HeaderValue {
    let (count, unit) = match left.as_micros() {
        micros if micros <= MOST => (micros, b'u'),
        micros if micros <= MOST * 1000 => (micros / 1000, b'm'),
        micros => ((micros / 1_000_000).min(MOST), b'S'),
    };
    let mut text = [b'0'; 9];
    text[8] = unit;
    let mut rest = count;
    for digit in text[..8].iter_mut().rev() {
        *digit = b'0' + (rest % 10) as u8;
        rest /= 10;
    }
    let zeros = text[..7].iter().take_while(|digit| **digit == b'0').count();
    let mut header =
        HeaderValue::from_bytes(&text[zeros..]).unwrap_or_else(|_| HeaderValue::from_static("0n"));
    header.set_sensitive(true);
    header
}

/// The largest count that the protocol's eight digits hold.
const MOST: u128 = 99_999_999;

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
    fn what_is_no_traceparent_is_refused() {
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

    #[test]
    fn a_grpc_timeout_is_digits_and_a_unit() {
        for (text, expected) in [
            ("0n", Some(Duration::ZERO)),
            ("50m", Some(Duration::from_millis(50))),
            ("99999999H", Some(Duration::from_secs(99_999_999 * 3600))),
            ("7u", Some(Duration::from_micros(7))),
            ("2S", Some(Duration::from_secs(2))),
            ("3M", Some(Duration::from_secs(180))),
            ("100000000S", None),
            ("5x", None),
            ("-1S", None),
            ("+1S", None),
            ("S", None),
            ("", None),
        ] {
            assert_eq!(parse_timeout(&header(text)), expected, "{text}");
        }
    }

    #[test]
    fn what_is_left_of_a_deadline_is_never_rounded_up() {
        for micros in [
            0,
            1,
            99_999_999,
            100_000_000,
            99_999_999_999,
            u64::MAX / 1000,
        ] {
            let left = Duration::from_micros(micros);
            let read = parse_timeout(&timeout_header(left)).unwrap();
            assert!(read <= left, "{read:?} > {left:?}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn the_shorter_of_the_callers_and_the_servers_time_is_the_deadline() {
        let mut headers = HeaderMap::new();
        let limit = Some(Duration::from_secs(5));
        let left = |context: CallContext| context.deadline.map(|at| at - Instant::now());
        assert_eq!(left(CallContext::from_headers(&headers, limit)), limit);
        headers.insert(GRPC_TIMEOUT, header("2S"));
        let two = Some(Duration::from_secs(2));
        assert_eq!(left(CallContext::from_headers(&headers, limit)), two);
        assert_eq!(left(CallContext::from_headers(&headers, None)), two);
        headers.insert(GRPC_TIMEOUT, header("9S"));
        assert_eq!(left(CallContext::from_headers(&headers, limit)), limit);
    }
}
