//! A validated cron expression.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use chrono::{DateTime, Utc};
use croner::Cron;
use croner::parser::{CronParser, Seconds};

const MAX_LENGTH: usize = 128;
const OFF: &str = "off";

/// The schedule of a task: a cron expression in UTC whose first field is the second, or `off`.
///
/// `*/10 * * * * *` means every 10 s; `off` means never.
#[derive(Clone, Debug)]
pub struct Schedule {
    /// `None` if it is off.
    cron: Option<Cron>,
    expression: String,
}

/// Why a cron expression is rejected.
#[derive(Debug, thiserror::Error)]
pub enum ScheduleError {
    /// Longer than 128 characters.
    #[error("a cron expression has at most {MAX_LENGTH} characters")]
    TooLong,
    /// Not a cron expression.
    #[error("{0}; expected six fields: second minute hour day month weekday, or off")]
    Syntax(#[from] croner::errors::CronError),
    /// Never matches a time, such as February 30.
    #[error("this never matches a time; use off to disable the task")]
    Never,
}

// === impl Schedule ===

impl Schedule {
    pub(crate) const fn is_off(&self) -> bool {
        self.cron.is_none()
    }

    /// The next matching time; `None` if the schedule is `off`.
    pub fn next(&self) -> Option<DateTime<Utc>> {
        self.after(Utc::now())
    }

    /// The time between the next two matching times; 0 if the schedule is `off`.
    pub fn interval(&self) -> Duration {
        // croner's iterator skips every other match if the matches are one second apart.
        match self.next().map(|first| (first, self.after(first))) {
            Some((first, Some(second))) => (second - first).to_std().unwrap_or_default(),
            _ => Duration::ZERO,
        }
    }

    fn after(&self, time: DateTime<Utc>) -> Option<DateTime<Utc>> {
        self.cron.as_ref()?.find_next_occurrence(&time, false).ok()
    }

    /// The last matching time as a Unix time in seconds, and the time since then.
    pub(crate) fn last(&self) -> (i64, Duration) {
        let now = Utc::now();
        let cron = self.cron.as_ref();
        let last = cron.and_then(|cron| cron.find_previous_occurrence(&now, true).ok());
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
        if expression == OFF {
            return Ok(Self {
                cron: None,
                expression: OFF.to_owned(),
            });
        }
        // The parser settings of tokio-cron-scheduler, which silently drops a job that never runs.
        let cron = CronParser::builder()
            .seconds(Seconds::Required)
            .dom_and_dow(true)
            .build()
            .parse(expression)?;
        let schedule = Self {
            cron: Some(cron),
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
    fn the_interval_is_the_time_between_two_runs() {
        let interval = |cron: &str| cron.parse::<Schedule>().unwrap().interval().as_secs();
        assert_eq!(interval("* * * * * *"), 1);
        assert_eq!(interval("*/10 * * * * *"), 10);
        assert_eq!(interval("0 * * * * *"), 60);
        assert_eq!(interval("0 0 4 * * *"), 86_400);
        assert_eq!(interval("off"), 0);
    }

    #[test]
    fn the_last_time_is_the_current_second() {
        let schedule: Schedule = "* * * * * *".parse().unwrap();
        let before = Utc::now().timestamp();
        let (second, ago) = schedule.last();
        assert!((before..=Utc::now().timestamp()).contains(&second));
        assert!(ago < Duration::from_secs(1), "{ago:?}");
    }

    #[test]
    fn invalid_expressions_are_rejected_with_the_reason() {
        let error = |cron: &str| cron.parse::<Schedule>().unwrap_err().to_string();
        assert_eq!(
            error("0 0 0 30 2 *"),
            "this never matches a time; use off to disable the task"
        );
        assert!(error(&"*,".repeat(65)).contains("at most 128 characters"));
        for wrong in [
            "",
            "* * * * *",
            "61 * * * * *",
            "*/0 * * * * *",
            "é * * * * *",
            "Off",
        ] {
            assert!(error(wrong).contains("six fields"), "{wrong}");
        }
    }
}
