//! The services that are expected to send heartbeats, as a setting.

use std::collections::BTreeSet;
use std::str::FromStr;
use std::time::Duration;

use vitalmesh_chassis::duration;

use crate::deadline::DEFAULT_INTERVAL;
use crate::heartbeats::{MAX_INTERVAL, is_service_name};

/// Services with the interval at which each is expected to send heartbeats.
///
/// Written as `name` or `name=interval`, separated by commas; the default interval is 10 s. An
/// empty text is no service. A service that announces another interval has that one.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ExpectedServices(Vec<(String, Duration)>);

/// Why a text is not a list of expected services.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidExpected {
    /// A name that no heartbeat can have.
    #[error("'{0}' is not a service name: 1 to 64 of a-z, A-Z, 0-9, '.', '_' and '-'")]
    Name(String),
    /// A name that is listed before.
    #[error("'{0}' is listed twice")]
    Duplicate(String),
    /// An interval that no heartbeat can have.
    #[error("'{0}' is not an interval such as 10s: more than zero and at most 24h")]
    Interval(String),
}

// === impl ExpectedServices ===

impl ExpectedServices {
    /// The names and intervals, in the order of the setting.
    pub fn intervals(&self) -> Vec<(&str, Duration)> {
        let services = self.0.iter();
        services
            .map(|(name, interval)| (name.as_str(), *interval))
            .collect()
    }
}

impl FromStr for ExpectedServices {
    type Err = InvalidExpected;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if text.is_empty() {
            return Ok(Self::default());
        }
        let services: Vec<_> = text.split(',').map(service).collect::<Result<_, _>>()?;
        let mut names = BTreeSet::new();
        match services.iter().find(|(name, _)| !names.insert(name)) {
            Some((name, _)) => Err(InvalidExpected::Duplicate(name.clone())),
            None => Ok(Self(services)),
        }
    }
}

fn service(text: &str) -> Result<(String, Duration), InvalidExpected> {
    let (name, interval) = match text.split_once('=') {
        Some((name, interval)) => (name, self::interval(interval)?),
        None => (text, DEFAULT_INTERVAL),
    };
    match is_service_name(name) {
        true => Ok((name.to_owned(), interval)),
        false => Err(InvalidExpected::Name(name.to_owned())),
    }
}

fn interval(text: &str) -> Result<Duration, InvalidExpected> {
    let interval = duration(text).ok();
    interval
        .filter(|interval| !interval.is_zero() && *interval <= MAX_INTERVAL)
        .ok_or_else(|| InvalidExpected::Interval(text.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<ExpectedServices, InvalidExpected> {
        text.parse()
    }

    #[test]
    fn names_have_the_default_interval_or_their_own() {
        let seconds = Duration::from_secs;
        for (text, expected) in [
            ("", vec![]),
            ("time", vec![("time", seconds(10))]),
            (
                "time,revert-name=1m,A.b_c=24h,d=500ms",
                vec![
                    ("time", seconds(10)),
                    ("revert-name", seconds(60)),
                    ("A.b_c", seconds(24 * 3600)),
                    ("d", Duration::from_millis(500)),
                ],
            ),
        ] {
            assert_eq!(parse(text).unwrap().intervals(), expected, "{text}");
        }
    }

    #[test]
    fn a_wrong_name_a_duplicate_and_a_wrong_interval_are_rejected() {
        let longest = "a".repeat(64);
        assert_eq!(parse(&longest).unwrap().intervals().len(), 1);
        for (text, name) in [
            (",", ""),
            ("time,", ""),
            ("time, counter", " counter"),
            ("=10s", ""),
            ("a/b", "a/b"),
            ("é", "é"),
            (&format!("{longest}a"), &*format!("{longest}a")),
        ] {
            assert_eq!(
                parse(text),
                Err(InvalidExpected::Name(name.to_owned())),
                "{text}"
            );
        }
        let duplicate = Err(InvalidExpected::Duplicate("time".to_owned()));
        assert_eq!(parse("time,counter,time=20s"), duplicate);
        for interval in ["", "0s", "-1s", "10", "soon", "24h 1ns", "10s=10s"] {
            let expected = Err(InvalidExpected::Interval(interval.to_owned()));
            assert_eq!(parse(&format!("time={interval}")), expected, "{interval}");
        }
    }

    #[test]
    fn an_error_says_what_is_wrong_and_what_is_allowed() {
        for (text, expected) in [
            (
                "a b",
                "'a b' is not a service name: 1 to 64 of a-z, A-Z, 0-9, '.', '_' and '-'",
            ),
            ("a,a", "'a' is listed twice"),
            (
                "a=2d",
                "'2d' is not an interval such as 10s: more than zero and at most 24h",
            ),
        ] {
            assert_eq!(parse(text).unwrap_err().to_string(), expected);
        }
    }
}
