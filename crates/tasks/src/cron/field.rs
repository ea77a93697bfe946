//! One field of an expression: a list of numbers or names, ranges and steps.

use super::set::Set;
use crate::schedule::ScheduleError;

const MONTHS: &[&str] = &[
    "JAN", "FEB", "MAR", "APR", "MAY", "JUN", "JUL", "AUG", "SEP", "OCT", "NOV", "DEC",
];
const WEEKDAYS: &[&str] = &["SUN", "MON", "TUE", "WED", "THU", "FRI", "SAT"];

pub(super) const SECOND: Field = Field::numbers("second", 0, 59, "expected 0 to 59");
pub(super) const MINUTE: Field = Field::numbers("minute", 0, 59, "expected 0 to 59");
pub(super) const HOUR: Field = Field::numbers("hour", 0, 23, "expected 0 to 23");
pub(super) const DAY: Field = Field::numbers("day", 1, 31, "expected 1 to 31, L or such as 15W");
pub(super) const MONTH: Field = Field {
    names: MONTHS,
    ..Field::numbers("month", 1, 12, "expected 1 to 12, or JAN to DEC")
};
/// Numbered from Sunday, 0. Numbers are refused: 1 is Sunday in Quartz and Monday in Unix cron.
pub(super) const WEEKDAY: Field = Field {
    names: WEEKDAYS,
    takes_numbers: false,
    max_step: 7,
    ..Field::numbers(
        "weekday",
        0,
        6,
        "expected names, such as MON-FRI, FRIL or MON#1; numbers are not used, since they mean other \
         days in Unix cron than in Quartz",
    )
};

/// The name of a field, its bounds, and the names of its values.
#[derive(Clone, Copy, Debug)]
pub(super) struct Field {
    pub(super) name: &'static str,
    min: u32,
    max: u32,
    names: &'static [&'static str],
    takes_numbers: bool,
    /// As in Quartz.
    max_step: u32,
    expected: &'static str,
}

// === impl Field ===

impl Field {
    const fn numbers(name: &'static str, min: u32, max: u32, expected: &'static str) -> Self {
        Self {
            name,
            min,
            max,
            names: &[],
            takes_numbers: true,
            max_step: max,
            expected,
        }
    }

    /// Parses `*`, `*/5`, `3`, `3/5`, `3-9`, `3-9/5`, and lists of them. A range whose end is below its
    /// start passes over the field's end: `22-2` is 22, 23, 0, 1, 2.
    pub(super) fn parse(&self, text: &str) -> Result<Set, ScheduleError> {
        if text == "*" {
            return Ok((self.min..=self.max).collect());
        }
        let mut all = Set::default();
        for part in text.split(',') {
            self.part(part, text)?.for_each(|value| all.insert(value));
        }
        Ok(all)
    }

    /// The value of a number or a name.
    pub(super) fn value(&self, word: &str, text: &str) -> Result<u32, ScheduleError> {
        if let Some(at) = self.names.iter().position(|name| *name == word) {
            // At most eleven, so it fits.
            return Ok(self.min + u32::try_from(at).unwrap_or_default());
        }
        let number = self.takes_numbers.then(|| number(word)).flatten();
        number
            .filter(|number| (self.min..=self.max).contains(number))
            .ok_or_else(|| self.refuse(text, self.expected))
    }

    pub(super) fn refuse(&self, text: &str, reason: impl Into<String>) -> ScheduleError {
        ScheduleError::Field {
            field: self.name,
            text: text.to_owned(),
            reason: reason.into(),
        }
    }

    fn part(&self, part: &str, text: &str) -> Result<impl Iterator<Item = u32>, ScheduleError> {
        let (range, step) = match part.split_once('/') {
            Some((range, step)) => (range, Some(self.step(range, step, text)?)),
            None if part == "*" => {
                return Err(self.refuse(text, "expected '*' alone or with a step"));
            }
            None => (part, None),
        };
        let (start, end) = match range.split_once('-') {
            _ if range == "*" => (self.min, self.max),
            Some((start, end)) if self.is_name(start) == self.is_name(end) => {
                (self.value(start, text)?, self.value(end, text)?)
            }
            Some(_) => {
                return Err(self.refuse(text, "expected a range of two numbers or two names"));
            }
            None => {
                let start = self.value(range, text)?;
                (start, if step.is_some() { self.max } else { start })
            }
        };
        let length = self.max - self.min + 1;
        let (min, end) = (self.min, if end < start { end + length } else { end });
        let steps = (start..=end).step_by(step.unwrap_or(1) as usize);
        Ok(steps.map(move |value| min + (value - min) % length))
    }

    fn is_name(&self, word: &str) -> bool {
        self.names.contains(&word)
    }

    /// Quartz gives steps after names other meanings: `MON/2` is every other week there.
    fn step(&self, range: &str, step: &str, text: &str) -> Result<u32, ScheduleError> {
        if range.split('-').any(|word| self.is_name(word)) {
            return Err(self.refuse(text, "expected a step after '*' or numbers, not names"));
        }
        let max = self.max_step;
        number(step)
            .filter(|step| (1..=max).contains(step))
            .ok_or_else(|| self.refuse(text, format!("expected a step of 1 to {max}")))
    }
}

/// Digits alone: `parse` would take a sign as well.
fn number(word: &str) -> Option<u32> {
    let is_number = word.bytes().all(|byte| byte.is_ascii_digit());
    is_number.then(|| word.parse().ok()).flatten()
}
