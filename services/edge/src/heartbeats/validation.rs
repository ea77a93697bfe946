//! Validation of a heartbeat request.

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use prost::Message;
use tonic::Status;
use vitalmesh_proto::heartbeat::v1::{BeatHeartRequest, VitalSigns};

use crate::store::Beat;

const MAX_SERVICE_NAME_BYTES: usize = 64;
const MAX_INSTANCE_BYTES: usize = 128;
const MAX_VERSION_BYTES: usize = 64;
pub(crate) const MAX_INTERVAL: Duration = Duration::from_secs(24 * 3600);
/// How far a sender's clock may be ahead.
const MAX_CLOCK_SKEW: SignedDuration = SignedDuration::from_mins(5);

/// No message repeats the sender's values.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum InvalidBeat {
    #[error(
        "service_name must be 1 to {MAX_SERVICE_NAME_BYTES} characters of a-z, A-Z, 0-9, '.', '_' and '-'"
    )]
    ServiceName,
    #[error("instance must be printable ASCII of at most {MAX_INSTANCE_BYTES} bytes")]
    Instance,
    #[error("version must be printable ASCII of at most {MAX_VERSION_BYTES} bytes")]
    Version,
    #[error("started_at must be between 1970 and now; check the sender's clock")]
    StartedAt,
    #[error("interval must be more than zero and at most one day")]
    Interval,
    #[error("sequence must be at most 2^63 - 1; restart it from 1")]
    Sequence,
    #[error("numbers of vital_signs must be finite and not negative")]
    VitalSigns,
}

// === impl InvalidBeat ===

impl From<InvalidBeat> for Status {
    fn from(invalid: InvalidBeat) -> Self {
        Self::invalid_argument(invalid.to_string())
    }
}

/// The beat of `request`, received at `now`.
pub(super) fn validate(request: BeatHeartRequest, now: Timestamp) -> Result<Beat, InvalidBeat> {
    if !is_service_name(&request.service_name) {
        return Err(InvalidBeat::ServiceName);
    }
    if !is_printable(&request.instance, MAX_INSTANCE_BYTES) {
        return Err(InvalidBeat::Instance);
    }
    if !is_printable(&request.version, MAX_VERSION_BYTES) {
        return Err(InvalidBeat::Version);
    }
    let started_at = request.started_at.map(|time| started_at(time, now));
    let vital_signs = request.vital_signs.map(|signs| vital_signs(&signs));
    Ok(Beat {
        service: request.service_name,
        instance: request.instance,
        version: request.version,
        started_at: started_at.transpose()?,
        interval: request.interval.map(interval).transpose()?,
        sequence: i64::try_from(request.sequence).map_err(|_| InvalidBeat::Sequence)?,
        vital_signs: vital_signs.transpose()?,
        received_at: now,
    })
}

pub(crate) fn is_service_name(name: &str) -> bool {
    let is_allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"._-".contains(&byte);
    (1..=MAX_SERVICE_NAME_BYTES).contains(&name.len()) && name.bytes().all(is_allowed)
}

fn is_printable(text: &str, max_bytes: usize) -> bool {
    text.len() <= max_bytes && text.bytes().all(|byte| (b' '..=b'~').contains(&byte))
}

fn started_at(time: prost_types::Timestamp, now: Timestamp) -> Result<Timestamp, InvalidBeat> {
    if !(0..1_000_000_000).contains(&time.nanos) {
        return Err(InvalidBeat::StartedAt);
    }
    let time = Timestamp::new(time.seconds, time.nanos).map_err(|_| InvalidBeat::StartedAt)?;
    let is_sane = time >= Timestamp::UNIX_EPOCH && time.duration_since(now) <= MAX_CLOCK_SKEW;
    is_sane.then_some(time).ok_or(InvalidBeat::StartedAt)
}

/// `Duration::try_from` would overflow on the least seconds.
fn interval(interval: prost_types::Duration) -> Result<Duration, InvalidBeat> {
    let seconds = u64::try_from(interval.seconds).map_err(|_| InvalidBeat::Interval)?;
    let nanos = match u32::try_from(interval.nanos) {
        Ok(nanos @ ..1_000_000_000) => nanos,
        _ => return Err(InvalidBeat::Interval),
    };
    let interval = Duration::new(seconds, nanos);
    let is_sane = !interval.is_zero() && interval <= MAX_INTERVAL;
    is_sane.then_some(interval).ok_or(InvalidBeat::Interval)
}

fn vital_signs(signs: &VitalSigns) -> Result<Vec<u8>, InvalidBeat> {
    let numbers = [
        signs.requests_per_second,
        signs.faults_per_second,
        signs.latency_p50_seconds,
        signs.latency_p99_seconds,
    ];
    let is_sane = numbers
        .iter()
        .all(|number| number.is_finite() && *number >= 0.0);
    is_sane
        .then(|| signs.encode_to_vec())
        .ok_or(InvalidBeat::VitalSigns)
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: &str = "2026-11-21T12:00:00Z";

    fn full() -> BeatHeartRequest {
        BeatHeartRequest {
            service_name: "revert-name".to_owned(),
            instance: "host-1 (a)".to_owned(),
            version: "0.1.0+abc".to_owned(),
            started_at: Some(seconds_after_now(-60)),
            interval: Some(duration(10, 0)),
            sequence: 7,
            vital_signs: Some(VitalSigns {
                requests_per_second: 1.5,
                calls_in_flight: u64::MAX,
                ..VitalSigns::default()
            }),
        }
    }

    fn now() -> Timestamp {
        NOW.parse().unwrap()
    }

    fn seconds_after_now(seconds: i64) -> prost_types::Timestamp {
        prost_types::Timestamp {
            seconds: now().as_second() + seconds,
            nanos: 0,
        }
    }

    const fn duration(seconds: i64, nanos: i32) -> prost_types::Duration {
        prost_types::Duration { seconds, nanos }
    }

    /// Validates a valid beat after `change`.
    fn validated(change: impl FnOnce(&mut BeatHeartRequest)) -> Result<(), InvalidBeat> {
        let mut request = full();
        change(&mut request);
        validate(request, now()).map(|_| ())
    }

    #[test]
    fn a_valid_request_is_a_beat_with_every_field() {
        let beat = validate(full(), now()).unwrap();
        assert_eq!(
            beat,
            Beat {
                service: "revert-name".to_owned(),
                instance: "host-1 (a)".to_owned(),
                version: "0.1.0+abc".to_owned(),
                started_at: Some("2026-11-21T11:59:00Z".parse().unwrap()),
                interval: Some(Duration::from_secs(10)),
                sequence: 7,
                vital_signs: Some(full().vital_signs.unwrap().encode_to_vec()),
                received_at: now(),
            }
        );
    }

    #[test]
    fn a_service_name_alone_is_a_beat() {
        let service_name = "time".to_owned();
        let request = BeatHeartRequest {
            service_name,
            ..BeatHeartRequest::default()
        };
        let beat = validate(request, now()).unwrap();
        assert_eq!((beat.service.as_str(), beat.sequence), ("time", 0));
        assert_eq!(
            (beat.started_at, beat.interval, beat.vital_signs),
            (None, None, None)
        );
    }

    #[test]
    fn texts_have_a_limit_and_are_printable() {
        for name in ["a", "A.b_c-9", &"a".repeat(64)] {
            assert_eq!(
                validated(|beat| beat.service_name = name.to_owned()),
                Ok(()),
                "{name}"
            );
        }
        for name in [
            "",
            "a b",
            "a/b",
            "é",
            "a\n",
            "a\0",
            "'; DROP",
            &"a".repeat(65),
        ] {
            let rejected = validated(|beat| beat.service_name = name.to_owned());
            assert_eq!(rejected, Err(InvalidBeat::ServiceName), "{name}");
        }
        assert_eq!(validated(|beat| beat.instance = "~ ".repeat(64)), Ok(()));
        assert_eq!(validated(|beat| beat.version = "9".repeat(64)), Ok(()));
        for text in [&"a".repeat(129), "\u{1b}[31m", "a\u{7f}", "é", "\u{202e}"] {
            let rejected = validated(|beat| beat.instance = text.to_owned());
            assert_eq!(rejected, Err(InvalidBeat::Instance), "{text:?}");
        }
        for text in [&"a".repeat(65), "1\n2"] {
            let rejected = validated(|beat| beat.version = text.to_owned());
            assert_eq!(rejected, Err(InvalidBeat::Version), "{text:?}");
        }
    }

    #[test]
    fn a_start_is_between_1970_and_five_minutes_from_now() {
        let odd = |seconds, nanos| prost_types::Timestamp { seconds, nanos };
        for time in [odd(0, 0), seconds_after_now(0), seconds_after_now(300)] {
            assert_eq!(
                validated(|beat| beat.started_at = Some(time)),
                Ok(()),
                "{time:?}"
            );
        }
        for time in [
            seconds_after_now(301),
            odd(-1, 999_999_999),
            odd(1, -1),
            odd(1, 1_000_000_000),
            odd(i64::MAX, 0),
            odd(i64::MIN, 0),
        ] {
            let rejected = validated(|beat| beat.started_at = Some(time));
            assert_eq!(rejected, Err(InvalidBeat::StartedAt), "{time:?}");
        }
    }

    #[test]
    fn an_interval_is_more_than_zero_and_at_most_a_day() {
        for interval in [duration(0, 1), duration(10, 0), duration(86_400, 0)] {
            let validated = validated(|beat| beat.interval = Some(interval));
            assert_eq!(validated, Ok(()), "{interval:?}");
        }
        for interval in [
            duration(0, 0),
            duration(-1, 0),
            duration(0, -1),
            duration(1, 1_000_000_000),
            duration(86_400, 1),
            duration(i64::MAX, i32::MAX),
            duration(i64::MIN, i32::MIN),
        ] {
            let rejected = validated(|beat| beat.interval = Some(interval));
            assert_eq!(rejected, Err(InvalidBeat::Interval), "{interval:?}");
        }
    }

    #[test]
    fn a_sequence_fits_an_i64_and_vital_signs_are_finite() {
        let last = i64::MAX.cast_unsigned();
        assert_eq!(validated(|beat| beat.sequence = last), Ok(()));
        assert_eq!(
            validated(|beat| beat.sequence = last + 1),
            Err(InvalidBeat::Sequence)
        );
        for number in [f64::NAN, f64::INFINITY, -0.1] {
            for field in 0..4 {
                let rejected = validated(|beat| {
                    let signs = beat.vital_signs.as_mut().unwrap();
                    *[
                        &mut signs.requests_per_second,
                        &mut signs.faults_per_second,
                        &mut signs.latency_p50_seconds,
                        &mut signs.latency_p99_seconds,
                    ][field] = number;
                });
                assert_eq!(
                    rejected,
                    Err(InvalidBeat::VitalSigns),
                    "{number} in field {field}"
                );
            }
        }
    }
}
