//! A valid `grpc-timeout` header is one to eight digits and a unit; all others are rejected.
#![no_main]

#[path = "../../src/recording"]
mod recording {
    #[expect(dead_code, reason = "half of a module of the library")]
    pub(crate) mod timeout;
}

use libfuzzer_sys::fuzz_target;
use recording::timeout;

const UNITS: [(u8, u128); 6] = [
    (b'H', 3_600_000_000_000),
    (b'M', 60_000_000_000),
    (b'S', 1_000_000_000),
    (b'm', 1_000_000),
    (b'u', 1_000),
    (b'n', 1),
];

/// Nanoseconds, parsed by the standard library.
fn decode(value: &str) -> Option<u128> {
    let unit = value.bytes().last()?;
    let (_, nanos) = UNITS.into_iter().find(|(letter, _)| *letter == unit)?;
    let digits = &value[..value.len() - 1];
    let sign = digits.starts_with('+');
    let number: u128 = digits.parse().ok()?;
    (digits.len() <= 8 && !sign).then(|| number * nanos)
}

fuzz_target!(|value: &[u8]| {
    let expected = str::from_utf8(value).ok().and_then(decode);
    let parsed = timeout::parse(value).map(|duration| duration.as_nanos());
    assert_eq!(parsed, expected);
});
