//! Reads and writes the `grpc-timeout` header.

use std::time::Duration;

use http::{HeaderMap, HeaderName, HeaderValue};

/// The gRPC header with the time that the caller waits.
pub const GRPC_TIMEOUT: HeaderName = HeaderName::from_static("grpc-timeout");
/// The protocol allows eight digits.
const MAX_COUNT: u128 = 99_999_999;

/// The timeout in a request's headers; `None` if there is none or it is malformed.
pub fn requested_timeout(headers: &HeaderMap) -> Option<Duration> {
    headers.get(GRPC_TIMEOUT).and_then(parse_timeout)
}

/// Parses 1 to 8 digits and a unit. Like other gRPC implementations, treats anything else as no
/// timeout.
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

/// The `grpc-timeout` header for the time left, rounded down.
///
/// Marked as sensitive, so that HPACK does not index a value that differs in each request.
pub fn timeout_header(left: Duration) -> HeaderValue {
    let (count, unit) = match left.as_micros() {
        micros if micros <= MAX_COUNT => (micros, b'u'),
        micros if micros <= MAX_COUNT * 1000 => (micros / 1000, b'm'),
        micros => ((micros / 1_000_000).min(MAX_COUNT), b'S'),
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
    fn the_header_never_exceeds_the_time_left() {
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
