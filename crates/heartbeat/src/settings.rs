//! The settings of a service that sends heartbeats.

use std::time::Duration;

use vitalmesh_chassis::{Schedule, ScheduleError, Uri, service_url};

const MAX_INTERVAL: Duration = Duration::from_secs(24 * 3600);

/// The settings of a service that sends heartbeats.
#[derive(clap::Args, Clone, Debug)]
pub struct HeartbeatSettings {
    /// The URL of the edge that receives heartbeats
    #[arg(long, env, default_value = "http://127.0.0.1:50053", value_parser = service_url)]
    pub edge_url: Uri,

    /// The schedule of heartbeats: cron with seconds, in UTC, at least once a day; or off
    #[arg(long, env, default_value = "*/10 * * * * *", value_parser = at_least_daily)]
    pub heartbeat_cron: Schedule,
}

/// The edge rejects beats that announce a longer interval.
fn at_least_daily(expression: &str) -> Result<Schedule, String> {
    let schedule: Schedule = expression
        .parse()
        .map_err(|error: ScheduleError| error.to_string())?;
    let longest = schedule.longest_gap();
    match longest <= MAX_INTERVAL {
        true => Ok(schedule),
        false => Err(format!(
            "expected a schedule with a run at least once a day; this one pauses for up to {} h",
            longest.as_secs().div_ceil(3600)
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_schedule_beats_at_least_once_a_day() {
        assert!(at_least_daily("0 0 4 * * *").is_ok());
        assert!(at_least_daily("off").is_ok());
        // On any day of the week, not where the next two runs are far apart alone.
        for (rare, hours) in [
            ("0 0 9 * * MON-FRI", 72),
            ("0 0 4 * * MON", 168),
            ("0 0 0,1 1-30 * ?", 47),
            ("0 * * L * ?", 721),
        ] {
            let error = at_least_daily(rare).unwrap_err();
            let expected = format!("once a day; this one pauses for up to {hours} h");
            assert!(error.ends_with(&expected), "{rare}: {error}");
        }
        assert!(at_least_daily("often").unwrap_err().contains("six fields"));
    }
}
