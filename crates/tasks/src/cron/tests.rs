//! The notation, and a comparison with croner, which tokio-cron-scheduler runs.

use chrono::{DateTime, TimeDelta, Utc};
use croner::parser::{CronParser, Seconds};
use proptest::prelude::*;

use super::Cron;
use crate::schedule::ScheduleError;

fn parse(expression: &str) -> Cron {
    Cron::parse(expression).unwrap_or_else(|error| panic!("{expression}: {error}"))
}

/// A refused field, and why.
fn refused(expression: &str) -> (&'static str, String) {
    match Cron::parse(expression) {
        Err(ScheduleError::Field { field, reason, .. }) => (field, reason),
        other => panic!("{expression}: {other:?}"),
    }
}

#[test]
fn each_form_means_these_numbers() {
    for (expression, croner) in [
        ("* 0 0 * * *", "*"),
        ("7 0 0 * * *", "7"),
        ("07 0 0 * * *", "7"),
        ("5,1,5 0 0 * * *", "1,5"),
        ("58-2 0 0 * * *", "0,1,2,58,59"),
        ("3-3 0 0 * * *", "3"),
        ("*/20 0 0 * * *", "0,20,40"),
        ("*/59 0 0 * * *", "0,59"),
        ("5/25 0 0 * * *", "5,30,55"),
        ("5-30/10 0 0 * * *", "5,15,25"),
        ("50-10/20 0 0 * * *", "10,50"),
        ("0-10/20,59 0 0 * * *", "0,59"),
    ] {
        let all: Vec<_> = (0..60).map(|second| second.to_string()).collect();
        let croner = if croner == "*" {
            all.join(",")
        } else {
            croner.to_owned()
        };
        let expected = format!("{croner} 0 0 * 1,2,3,4,5,6,7,8,9,10,11,12 *");
        assert_eq!(parse(expression).to_croner(), expected, "{expression}");
    }
}

#[test]
fn days_are_given_by_number_or_by_weekday() {
    for (days, croner) in [
        (("*", "*"), ("*", "*")),
        (("?", "*"), ("*", "*")),
        (("*", "?"), ("*", "*")),
        (("15", "?"), ("15", "*")),
        (("15", "*"), ("15", "*")),
        (("29-2", "?"), ("1,2,29,30,31", "*")),
        (("5/10", "?"), ("5,15,25", "*")),
        (("L", "?"), ("L", "*")),
        (("1W", "?"), ("1W", "*")),
        (("28w", "*"), ("28W", "*")),
        (("?", "MON-FRI"), ("*", "1,2,3,4,5")),
        (("*", "mon-Fri"), ("*", "1,2,3,4,5")),
        (("?", "FRI-MON"), ("*", "0,1,5,6")),
        (("?", "SAT-SUN"), ("*", "0,6")),
        (("?", "SUN,WED"), ("*", "0,3")),
        (("?", "*/2"), ("*", "0,2,4,6")),
        (("?", "FRIL"), ("*", "5L")),
        (("?", "sunl"), ("*", "0L")),
        (("?", "MON#1"), ("*", "1#1")),
        (("?", "SUN#5"), ("*", "0#5")),
    ] {
        let (day, weekday) = days;
        let expression = format!("0 0 9 {day} 6 {weekday}");
        let expected = format!("0 0 9 {} 6 {}", croner.0, croner.1);
        assert_eq!(parse(&expression).to_croner(), expected, "{expression}");
    }
    for (months, numbers) in [
        ("NOV-FEB", "1,2,11,12"),
        ("jan,6,Dec", "1,6,12"),
        ("2/5", "2,7,12"),
    ] {
        let expected = format!("0 0 9 1 {numbers} *");
        assert_eq!(parse(&format!("0 0 9 1 {months} ?")).to_croner(), expected);
    }
}

#[test]
fn a_form_with_another_or_no_meaning_is_refused_with_its_field() {
    let numbers = "expected names, such as MON-FRI, FRIL or MON#1; numbers are not used, since they \
                   mean other days in Unix cron than in Quartz";
    let days = "expected 1 to 31, L or such as 15W";
    let seconds = "expected 0 to 59";
    let hash = "expected '#' between one name and 1 to 5";
    let w = "expected W after one day from 1 to 28";
    for (expression, field, reason) in [
        ("60 * * * * *", "second", seconds),
        ("-1 * * * * *", "second", seconds),
        ("+1 * * * * *", "second", seconds),
        ("1, * * * * *", "second", seconds),
        ("1,,2 * * * * *", "second", seconds),
        ("1-2-3 * * * * *", "second", seconds),
        ("? * * * * *", "second", seconds),
        ("L * * * * *", "second", seconds),
        ("99999999999 * * * * *", "second", seconds),
        ("é * * * * *", "second", seconds),
        ("*5 * * * * *", "second", seconds),
        ("/5 * * * * *", "second", seconds),
        (
            "*,5 * * * * *",
            "second",
            "expected '*' alone or with a step",
        ),
        ("*/0 * * * * *", "second", "expected a step of 1 to 59"),
        ("*/60 * * * * *", "second", "expected a step of 1 to 59"),
        ("*/ * * * * *", "second", "expected a step of 1 to 59"),
        ("*/5/5 * * * * *", "second", "expected a step of 1 to 59"),
        ("* 60 * * * *", "minute", seconds),
        ("* * 24 * * *", "hour", "expected 0 to 23"),
        ("* * */24 * * *", "hour", "expected a step of 1 to 23"),
        ("* * * 0 * *", "day", days),
        ("* * * 32 * *", "day", days),
        ("* * * ?,1 * *", "day", days),
        ("* * * L-3 * ?", "day", days),
        ("* * * LW * ?", "day", w),
        ("* * * W * ?", "day", w),
        ("* * * 29W * ?", "day", w),
        ("* * * 0W * ?", "day", w),
        ("* * * 1W,15W * ?", "day", w),
        ("* * * 15W,20 * ?", "day", days),
        ("* * * 1,L * ?", "day", days),
        ("* * * * 0 *", "month", "expected 1 to 12, or JAN to DEC"),
        ("* * * * 13 *", "month", "expected 1 to 12, or JAN to DEC"),
        (
            "* * * * JANUARY *",
            "month",
            "expected 1 to 12, or JAN to DEC",
        ),
        ("* * * * ? *", "month", "expected 1 to 12, or JAN to DEC"),
        (
            "* * * * JAN-6 *",
            "month",
            "expected a range of two numbers or two names",
        ),
        (
            "* * * * JAN/3 *",
            "month",
            "expected a step after '*' or numbers, not names",
        ),
        (
            "* * * * JAN-DEC/3 *",
            "month",
            "expected a step after '*' or numbers, not names",
        ),
        ("* * * ? * 0", "weekday", numbers),
        ("* * * ? * 1", "weekday", numbers),
        ("* * * ? * 7", "weekday", numbers),
        ("* * * ? * 1-5", "weekday", numbers),
        ("* * * ? * 6L", "weekday", numbers),
        ("* * * ? * 6#3", "weekday", numbers),
        ("* * * ? * 2/2", "weekday", numbers),
        ("* * * ? * L", "weekday", numbers),
        ("* * * ? * MONDAY", "weekday", numbers),
        (
            "* * * ? * MON-5",
            "weekday",
            "expected a range of two numbers or two names",
        ),
        (
            "* * * ? * MON/2",
            "weekday",
            "expected a step after '*' or numbers, not names",
        ),
        ("* * * ? * */8", "weekday", "expected a step of 1 to 7"),
        ("* * * ? * MON#0", "weekday", hash),
        ("* * * ? * MON#6", "weekday", hash),
        ("* * * ? * MON#1,FRI#1", "weekday", hash),
        ("* * * ? * MON-FRI#1", "weekday", numbers),
        ("* * * ? * MON,FRIL", "weekday", numbers),
        ("* * * ? * +MON", "weekday", numbers),
        (
            "* * * ? * ?",
            "weekday",
            "expected '?' as the day or the weekday, not as both",
        ),
    ] {
        assert_eq!(
            refused(expression),
            (field, reason.to_owned()),
            "{expression}"
        );
    }
}

#[test]
fn a_day_and_a_weekday_together_are_refused() {
    for (day, weekday) in [
        ("1", "MON"),
        ("*/2", "MON"),
        ("1-31", "MON-FRI"),
        ("L", "FRIL"),
    ] {
        let reason =
            format!("expected ? as the weekday or in place of the day '{day}', or such as MON#1");
        assert_eq!(
            refused(&format!("0 0 9 {day} * {weekday}")),
            ("weekday", reason)
        );
    }
}

#[test]
fn an_error_names_the_field_what_it_was_and_what_is_expected() {
    let error = Cron::parse("0 0 9 ? * 1-5").unwrap_err().to_string();
    assert_eq!(
        error,
        "the weekday '1-5': expected names, such as MON-FRI, FRIL or MON#1; numbers are not used, since \
         they mean other days in Unix cron than in Quartz; a schedule has six fields, second minute hour \
         day month weekday, or is off"
    );
}

/// A list of numbers, ranges and steps, in the notation of a field.
fn field(min: u32, max: u32, steps: u32) -> impl Strategy<Value = String> {
    let number = min..=max;
    let item = prop_oneof![
        number.clone().prop_map(|number| number.to_string()),
        (number.clone(), number.clone()).prop_map(|(start, end)| format!("{start}-{end}")),
        (1..=steps).prop_map(|step| format!("*/{step}")),
        (number.clone(), 1..=steps).prop_map(|(start, step)| format!("{start}/{step}")),
        (number.clone(), number, 1..=steps)
            .prop_map(|(start, end, step)| format!("{start}-{end}/{step}")),
    ];
    let list = prop::collection::vec(item, 1..4).prop_map(|items| items.join(","));
    prop_oneof![Just("*".to_owned()), list]
}

fn weekday() -> impl Strategy<Value = String> {
    let name = || prop::sample::select(vec!["SUN", "mon", "TUE", "Wed", "THU", "FRI", "SAT"]);
    let range = (name(), name()).prop_map(|(start, end)| format!("{start}-{end}"));
    let item = prop_oneof![name().prop_map(str::to_owned), range];
    prop_oneof![
        prop::collection::vec(item, 1..4).prop_map(|items| items.join(",")),
        name().prop_map(|name| format!("{name}L")),
        (name(), 1..=5).prop_map(|(name, nth)| format!("{name}#{nth}")),
        (1..=7).prop_map(|step| format!("*/{step}")),
    ]
}

fn expression() -> impl Strategy<Value = String> {
    let days = prop_oneof![
        field(1, 31, 31).prop_map(|day| format!("{day} ?")),
        (1..=28).prop_map(|day| format!("{day}W ?")),
        Just("L ?".to_owned()),
        weekday().prop_map(|weekday| format!("? {weekday}")),
    ];
    let time = (field(0, 59, 59), field(0, 59, 59), field(0, 23, 23));
    (time, days, field(1, 12, 12)).prop_map(|((second, minute, hour), days, month)| {
        let (day, weekday) = days.split_once(' ').unwrap();
        format!("{second} {minute} {hour} {day} {month} {weekday}")
    })
}

fn any_time() -> impl Strategy<Value = DateTime<Utc>> {
    let milliseconds = 1_700_000_000_000_i64..2_700_000_000_000;
    milliseconds.prop_map(|ms| DateTime::from_timestamp_millis(ms).unwrap())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 512, failure_persistence: None, ..ProptestConfig::default() })]

    /// The parser settings are those of tokio-cron-scheduler.
    #[test]
    fn the_scheduler_runs_at_the_times_that_an_expression_matches(
        expression in expression(),
        from in any_time(),
    ) {
        let cron = parse(&expression);
        let Some(gaps) = cron.gaps() else {
            prop_assert!(cron.after(from).is_none());
            return Ok(());
        };
        let croner = CronParser::builder().seconds(Seconds::Required).dom_and_dow(true).build();
        let scheduler = croner.parse(&cron.to_croner()).unwrap();
        let mut time = from;
        for _ in 0..4 {
            let next = cron.after(time).unwrap();
            // croner keeps the fraction of a second.
            let second = DateTime::from_timestamp(time.timestamp(), 0).unwrap();
            prop_assert_eq!(Some(next), scheduler.find_next_occurrence(&second, false).ok());
            prop_assert_eq!(cron.until(next), Some(next));
            let before = cron.until(next - TimeDelta::milliseconds(1)).unwrap();
            prop_assert!(before <= time);
            prop_assert_eq!(cron.after(before), Some(next));
            let gap = (next - before).to_std().unwrap();
            prop_assert!(gaps.shortest <= gap && gap <= gaps.longest, "{:?} {:?}", gap, gaps);
            time = next;
        }
    }
}
