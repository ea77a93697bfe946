//! A validated schedule.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use chrono::{DateTime, Utc};

use crate::cron::{Cron, Gaps};

const MAX_LENGTH: usize = 128;
const OFF: &str = "off";
const NICKNAMES: [(&str, &str); 7] = [
    ("@yearly", "0 0 0 1 JAN ?"),
    ("@annually", "0 0 0 1 JAN ?"),
    ("@monthly", "0 0 0 1 * ?"),
    ("@weekly", "0 0 0 ? * SUN"),
    ("@daily", "0 0 0 * * ?"),
    ("@midnight", "0 0 0 * * ?"),
    ("@hourly", "0 0 * * * ?"),
];

/// The schedule of a task: a cron expression in UTC with Quartz's six fields, or `off`.
///
/// `*/10 * * * * *` means every 10 s; `off` means never. The README has the whole notation. UTC has no
/// daylight saving time: no run is skipped or repeated.
#[derive(Clone, Debug)]
pub struct Schedule {
    /// `None` if it is off.
    cron: Option<(Cron, Gaps)>,
    expression: String,
}

/// Why a schedule is rejected.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ScheduleError {
    /// Longer than 128 characters.
    #[error("a cron expression has at most {MAX_LENGTH} characters")]
    TooLong,
    /// Not six fields, and not `off`.
    #[error("{found}; expected six fields, second minute hour day month weekday, or off")]
    Fields {
        /// What was found in their place.
        found: String,
    },
    /// A field has no meaning, or not the same in Quartz as in other cron programs.
    #[error(
        "the {field} '{text}': {reason}; a schedule has six fields, second minute hour day month \
         weekday, or is off"
    )]
    Field {
        /// The field's name.
        field: &'static str,
        /// The field.
        text: String,
        /// What is wrong, or what is expected.
        reason: String,
    },
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

    /// The first matching time after `time`; `None` if the schedule is `off`.
    pub fn after(&self, time: DateTime<Utc>) -> Option<DateTime<Utc>> {
        self.cron.as_ref()?.0.after(time)
    }

    /// The longest time between two runs that follow each other, on any day of the calendar: 72 h for
    /// `0 0 9 ? * MON-FRI`. 0 if the schedule is `off`.
    pub fn longest_gap(&self) -> Duration {
        self.cron
            .as_ref()
            .map_or(Duration::ZERO, |(_, gaps)| gaps.longest)
    }

    /// The shortest time between two runs; 0 if the schedule is `off`.
    pub fn shortest_gap(&self) -> Duration {
        self.cron
            .as_ref()
            .map_or(Duration::ZERO, |(_, gaps)| gaps.shortest)
    }

    /// The last matching time until `now`.
    pub(crate) fn last(&self, now: DateTime<Utc>) -> Option<DateTime<Utc>> {
        self.cron.as_ref()?.0.until(now)
    }

    /// The same schedule in the notation of tokio-cron-scheduler; `None` if it is off.
    pub(crate) fn to_croner(&self) -> Option<String> {
        self.cron.as_ref().map(|(cron, _)| cron.to_croner())
    }
}

impl FromStr for Schedule {
    type Err = ScheduleError;

    fn from_str(expression: &str) -> Result<Self, Self::Err> {
        if expression.len() > MAX_LENGTH {
            return Err(ScheduleError::TooLong);
        }
        let expression = expression.trim_ascii();
        let cron = match expression {
            OFF => None,
            _ => {
                let cron = Cron::parse(expression)?;
                let gaps = cron.gaps().ok_or(ScheduleError::Never)?;
                Some((cron, gaps))
            }
        };
        Ok(Self {
            cron,
            expression: expression.to_owned(),
        })
    }
}

impl fmt::Display for Schedule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.expression)
    }
}

// === impl ScheduleError ===

impl ScheduleError {
    /// Names what stands in place of six fields, where it is another form of cron.
    pub(crate) fn wrong_fields(expression: &str) -> Self {
        let fields: Vec<_> = expression.split_ascii_whitespace().collect();
        let found = match fields[..] {
            [] => "this is empty".to_owned(),
            [word] => match NICKNAMES
                .iter()
                .find(|(name, _)| name.eq_ignore_ascii_case(word))
            {
                Some((_, cron)) => format!("'{word}' is not used, write {cron}"),
                None => format!("'{word}' is one field"),
            },
            [_, _, _, _, _] => "these are five fields, the second is missing".to_owned(),
            [_, _, _, _, _, _, year] => format!("the year '{year}' is a seventh field"),
            _ => format!("these are {} fields", fields.len()),
        };
        Self::Fields { found }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(expression: &str) -> Schedule {
        expression.parse().unwrap()
    }

    #[test]
    fn the_gaps_are_the_longest_and_the_shortest_of_the_calendar() {
        const HOUR: u64 = 3600;
        const DAY: u64 = 24 * HOUR;
        for (expression, shortest, longest) in [
            ("* * * * * *", 1, 1),
            ("*/10 * * * * *", 10, 10),
            ("*/7 * * * * *", 4, 7),
            ("0 * * * * *", 60, 60),
            ("0 0,5 * * * *", 300, 3300),
            ("0 0 4 * * *", DAY, DAY),
            ("0 0 9 ? * MON-FRI", DAY, 3 * DAY),
            ("* * 9 ? * MON-FRI", 1, 3 * DAY - HOUR + 1),
            ("0 0 4 ? * MON", 7 * DAY, 7 * DAY),
            ("0 0 0 1 * ?", 28 * DAY, 31 * DAY),
            ("0 0 0 29 2 ?", 1461 * DAY, 2921 * DAY),
            ("0 0 0 L 2 ?", 365 * DAY, 366 * DAY),
            ("0 0 9 ? 2 MON#5", 4382 * DAY, 14_609 * DAY),
            ("off", 0, 0),
        ] {
            let schedule = parse(expression);
            let gaps = (
                schedule.shortest_gap().as_secs(),
                schedule.longest_gap().as_secs(),
            );
            assert_eq!(gaps, (shortest, longest), "{expression}");
        }
    }

    #[test]
    fn the_last_time_is_the_current_second() {
        let now = Utc::now();
        let last = parse("* * * * * *").last(now).unwrap();
        assert_eq!(last.timestamp(), now.timestamp());
        assert_eq!(last.timestamp_subsec_nanos(), 0);
    }

    #[test]
    fn white_space_around_and_between_the_fields_does_not_count() {
        let padded = parse(" 0  0\t9 ?  * mon-fri ");
        assert_eq!(padded.to_string(), "0  0\t9 ?  * mon-fri");
        assert_eq!(padded.next(), parse("0 0 9 ? * MON-FRI").next());
        assert!(parse(" off\n").is_off());
    }

    #[test]
    fn invalid_expressions_are_rejected_with_the_reason() {
        let error = |cron: &str| cron.parse::<Schedule>().unwrap_err().to_string();
        for never in ["0 0 0 30 2 *", "0 0 0 31 4,6,9,11 ?"] {
            assert_eq!(
                error(never),
                "this never matches a time; use off to disable the task"
            );
        }
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

    #[test]
    fn another_form_of_cron_is_refused_by_name() {
        for (wrong, expected) in [
            ("", "this is empty"),
            (" ", "this is empty"),
            ("often", "'often' is one field"),
            ("@daily", "'@daily' is not used, write 0 0 0 * * ?"),
            ("@Hourly", "'@Hourly' is not used, write 0 0 * * * ?"),
            ("@reboot", "'@reboot' is one field"),
            (
                "*/5 * * * *",
                "these are five fields, the second is missing",
            ),
            ("every 5 minutes", "these are 3 fields"),
            ("0 0 9 * * ? 2028", "the year '2028' is a seventh field"),
            ("0 0 9 * * ? *", "the year '*' is a seventh field"),
            ("0 0 9 * * ? * *", "these are 8 fields"),
        ] {
            let error = wrong.parse::<Schedule>().unwrap_err();
            let expected = ScheduleError::Fields {
                found: expected.to_owned(),
            };
            assert_eq!(error, expected, "{wrong}");
        }
        for (_, cron) in NICKNAMES {
            parse(cron);
        }
    }
}
