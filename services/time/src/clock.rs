//! The handler: the time of day as RFC 3339, in the time zone of this machine.

use jiff::Zoned;
use tonic::{Request, Response, Status};
use vitalmesh_proto::time::v1::time_service_server::TimeService;
use vitalmesh_proto::time::v1::{WhatTimeIsRequest, WhatTimeIsResponse};

/// Six fractional digits and a numeric offset, always: `+00:00`, not `Z`.
const RFC_3339_MICROSECONDS: &str = "%Y-%m-%dT%H:%M:%S%.6f%:z";

/// Responds with the time of day.
#[derive(Clone, Copy, Debug, Default)]
pub struct Clock;

// === impl Clock ===

impl Clock {
    pub const fn new() -> Self {
        Self
    }
}

#[tonic::async_trait]
impl TimeService for Clock {
    async fn what_time_is(
        &self,
        _: Request<WhatTimeIsRequest>,
    ) -> Result<Response<WhatTimeIsResponse>, Status> {
        let time = rfc_3339(&Zoned::now());
        Ok(Response::new(WhatTimeIsResponse { time }))
    }
}

fn rfc_3339(time: &Zoned) -> String {
    time.strftime(RFC_3339_MICROSECONDS).to_string()
}

#[cfg(test)]
mod tests {
    use jiff::Timestamp;
    use jiff::tz::{Offset, TimeZone};

    use super::*;

    fn formatted(timestamp: &str, zone: TimeZone) -> String {
        rfc_3339(&timestamp.parse::<Timestamp>().unwrap().to_zoned(zone))
    }

    #[test]
    fn utc_has_a_numeric_offset() {
        assert_eq!(
            formatted("2026-11-21T12:00:00.123456Z", TimeZone::UTC),
            "2026-11-21T12:00:00.123456+00:00"
        );
    }

    #[test]
    fn an_unknown_zone_is_utc() {
        assert_eq!(
            formatted("2026-11-21T12:00:00.123456Z", TimeZone::unknown()),
            "2026-11-21T12:00:00.123456+00:00"
        );
    }

    #[test]
    fn whole_seconds_keep_six_digits() {
        assert_eq!(
            formatted("2026-11-21T12:00:00Z", TimeZone::UTC),
            "2026-11-21T12:00:00.000000+00:00"
        );
    }

    #[test]
    fn nanoseconds_are_truncated() {
        assert_eq!(
            formatted("2026-11-21T12:00:00.000001999Z", TimeZone::UTC),
            "2026-11-21T12:00:00.000001+00:00"
        );
    }

    #[test]
    fn an_offset_west_of_greenwich_is_negative() {
        let newfoundland = Offset::from_seconds(-(3 * 3600 + 30 * 60)).unwrap();
        assert_eq!(
            formatted("2026-11-21T12:00:00.5Z", TimeZone::fixed(newfoundland)),
            "2026-11-21T08:30:00.500000-03:30"
        );
    }

    #[tokio::test]
    async fn the_response_is_the_current_time() {
        let before = Timestamp::now().as_microsecond();
        let response = Clock::new()
            .what_time_is(Request::new(WhatTimeIsRequest {}))
            .await
            .unwrap()
            .into_inner();
        let after = Timestamp::now().as_microsecond();

        let time = response.time.parse::<Timestamp>().unwrap().as_microsecond();
        assert!((before..=after).contains(&time), "{}", response.time);
        assert_eq!(
            response.time.len(),
            "2026-11-21T12:00:00.000000+00:00".len()
        );
    }
}
