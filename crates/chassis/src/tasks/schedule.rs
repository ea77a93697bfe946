//! A cron expression that has been checked: it parses, and it happens.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use chrono::{DateTime, Utc};
use croner::Cron;
use croner::parser::{CronParser, Seconds};

const MAX_LENGTH: usize = 128;

/// When a task runs: a cron expression with seconds, in UTC. `*/10 * * * * *` is every 10 s.
#[derive(Clone, Debug)]
pub struct Schedule {
    cron: Cron,
    expression: String,
}

/// Why a cron expression is refused.
#[derive(Debug, thiserror::Error)]
pub enum ScheduleError {
    /// Longer than any schedule needs to be; not parsed.
    #[error("a cron expression has at most {MAX_LENGTH} characters")]
    TooLong,
    /// No cron expression.
    #[error("{0}; expected six fields: second minute hour day month weekday")]
    Syntax(#[from] croner::errors::CronError),
    /// Such as the 30th of February.
    #[error("this never happens")]
    Never,
}

// === impl Schedule ===

impl Schedule {
    /// The next time, if there is one.
    pub(crate) fn next(&self) -> Option<DateTime<Utc>> {
        self.cron.find_next_occurrence(&Utc::now(), false).ok()
    }

    /// How long from the next time to the one after it.
    pub fn interval(&self) -> Duration {
        // Not by croner's iterator, which leaves out every other one of consecutive seconds.
        let after = |time| self.cron.find_next_occurrence(&time, false).ok();
        match self.next().map(|first| (first, after(first))) {
            Some((first, Some(second))) => (second - first).to_std().unwrap_or_default(),
            _ => Duration::ZERO,
        }
    }

    /// The last time as seconds since 1970, and how long ago it was.
    pub(super) fn last(&self) -> (i64, Duration) {
        let now = Utc::now();
        let last = self.cron.find_previous_occurrence(&now, true);
        let second = last.unwrap_or(now).timestamp();
        let ago = now.timestamp_millis() - second * 1000;
        (second, Duration::from_millis(ago.unsigned_abs()))
    }
}

impl FromStr for Schedule {
    type Err = ScheduleError;

    fn from_str(expression: &str) -> Result<Self, Self::Err> {
        if expression.len() > MAX_LENGTH {
            return Err(ScheduleError::TooLong);
        }
        // As tokio-cron-scheduler parses it, which silently drops a job that never happens.
        let cron = CronParser::builder()
            .seconds(Seconds::Required)
            .dom_and_dow(true)
            .build()
            .parse(expression)?;
        let schedule = Self {
            cron,
            expression: expression.to_owned(),
        };
        match schedule.next() {
            Some(_) => Ok(schedule),
            None => Err(ScheduleError::Never),
        }
    }
}

impl fmt::Display for Schedule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.expression)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_interval_is_the_distance_of_two_runs() {
        let interval = |cron: &str| cron.parse::<Schedule>().unwrap().interval().as_secs();
        assert_eq!(interval("* * * * * *"), 1);
        assert_eq!(interval("*/10 * * * * *"), 10);
        assert_eq!(interval("0 * * * * *"), 60);
        assert_eq!(interval("0 0 4 * * *"), 86_400);
    }

    #[test]
    fn the_last_time_is_the_second_that_has_begun() {
        let schedule: Schedule = "* * * * * *".parse().unwrap();
        let before = Utc::now().timestamp();
        let (second, ago) = schedule.last();
        assert!((before..=Utc::now().timestamp()).contains(&second));
        assert!(ago < Duration::from_secs(1), "{ago:?}");
    }

    #[test]
    fn bad_expressions_are_refused_with_the_reason() {
        let error = |cron: &str| cron.parse::<Schedule>().unwrap_err().to_string();
        assert_eq!(error("0 0 0 30 2 *"), "this never happens");
        assert!(error(&"*,".repeat(65)).contains("at most 128 characters"));
        for wrong in [
            "",
            "* * * * *",
            "61 * * * * *",
            "*/0 * * * * *",
            "é * * * * *",
        ] {
            assert!(error(wrong).contains("six fields"), "{wrong}");
        }
    }
}
