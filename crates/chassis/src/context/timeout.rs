//! The `grpc-timeout` header, read and written.

use std::time::Duration;

use http::{HeaderMap, HeaderName, HeaderValue};

/// The gRPC header that carries how long the caller waits.
pub(crate) const GRPC_TIMEOUT: HeaderName = HeaderName::from_static("grpc-timeout");
/// The largest count that the protocol's eight digits hold.
const MOST: u128 = 99_999_999;

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

#[cfg(test)]
mod tests {
    use super::*;

    fn header(text: &'static str) -> HeaderValue {
        HeaderValue::from_static(text)
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
}
