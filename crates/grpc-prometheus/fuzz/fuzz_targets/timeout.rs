//! A `grpc-timeout` header is one to eight digits and a unit, or nothing.
#![no_main]

#[path = "../../src/timeout.rs"]
#[allow(dead_code, reason = "half of a module of the library")]
mod timeout;

use libfuzzer_sys::fuzz_target;
use timeout::parse;

fuzz_target!(|value: &[u8]| {
    let well_formed = match value.split_last() {
        Some((unit, digits)) => {
            b"HMSmun".contains(unit)
                && (1..=8).contains(&digits.len())
                && digits.iter().all(u8::is_ascii_digit)
        }
        None => false,
    };
    let parsed = parse(value);
    assert_eq!(parsed.is_some(), well_formed);
    if let (Some(duration), Some((unit, digits))) = (parsed, value.split_last()) {
        let number: u128 = std::str::from_utf8(digits).unwrap().parse().unwrap();
        let nanos = match unit {
            b'H' => 3_600_000_000_000,
            b'M' => 60_000_000_000,
            b'S' => 1_000_000_000,
            b'm' => 1_000_000,
            b'u' => 1_000,
            _ => 1,
        };
        assert_eq!(duration.as_nanos(), number * nanos);
    }
});
