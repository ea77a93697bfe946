//! Schedules run when other programs with the same notation say that they do.

use std::str::FromStr;

use chrono::{DateTime, Utc};
use proptest::prelude::*;
use vitalmesh_tasks::Schedule;

/// Expressions and times that Quartz itself computed.
const QUARTZ: &str = include_str!("quartz.tsv");

#[test]
fn an_expression_means_what_it_means_in_quartz() {
    let (head, lines) = QUARTZ.split_once("\n# \t").unwrap();
    assert!(head.contains("Quartz"));
    let (after, lines) = lines.split_once('\n').unwrap();
    let after: Vec<DateTime<Utc>> = after
        .split('\t')
        .map(|time| time.parse().unwrap())
        .collect();
    assert!(lines.lines().count() > 200);
    for line in lines.lines() {
        let mut columns = line.split('\t');
        let expression = columns.next().unwrap();
        let schedule: Schedule = expression.parse().unwrap();
        for (after, expected) in after.iter().zip(columns) {
            let expected: DateTime<Utc> = expected.parse().unwrap();
            assert_eq!(
                schedule.after(*after),
                Some(expected),
                "{expression} {after}"
            );
        }
    }
}

/// The part of the notation that the crate `cron` has as well.
fn expression() -> impl Strategy<Value = String> {
    let list = |min: u32, max: u32| {
        let range = (min..=max, min..=max).prop_map(|(a, b)| (a.min(b), a.max(b)));
        let item = prop_oneof![
            (min..=max).prop_map(|number| number.to_string()),
            range
                .clone()
                .prop_map(|(start, end)| format!("{start}-{end}")),
            (range, 1..=max).prop_map(|((start, end), step)| format!("{start}-{end}/{step}")),
        ];
        let list = prop::collection::vec(item, 1..4).prop_map(|items| items.join(","));
        prop_oneof![Just("*".to_owned()), list]
    };
    let names = vec!["SUN", "MON-FRI", "TUE,THU", "SAT", "WED-SAT", "SUN-TUE,FRI"];
    let days = prop_oneof![
        list(1, 28).prop_map(|day| (day, "*")),
        prop::sample::select(names).prop_map(|names| ("*".to_owned(), names)),
    ];
    let months = prop_oneof![list(1, 12), Just("JAN-MAR,DEC".to_owned())];
    (list(0, 59), list(0, 59), list(0, 23), days, months).prop_map(
        |(second, minute, hour, (day, weekday), month)| {
            format!("{second} {minute} {hour} {day} {month} {weekday}")
        },
    )
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 256, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn the_crate_cron_finds_the_same_times(
        expression in expression(),
        from in 1_800_000_000_i64..2_700_000_000,
    ) {
        let schedule: Schedule = expression.parse().unwrap();
        let other = cron::Schedule::from_str(&expression).unwrap();
        let mut time = DateTime::from_timestamp(from, 0).unwrap();
        for expected in other.after(&time).take(4) {
            time = schedule.after(time).unwrap();
            prop_assert_eq!(time, expected, "{}", expression);
        }
    }
}
