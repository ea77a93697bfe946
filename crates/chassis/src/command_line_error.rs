//! The errors of a command line, each as one line.

use std::error::Error as _;
use std::num::ParseIntError;

use clap::error::{ContextKind, ContextValue, ErrorKind};

/// Formats a command line error as one line, whatever characters the invalid value has, with clap's
/// suggestions.
pub fn one_line(error: &clap::Error) -> String {
    said(error) + "; see --help"
}

/// Like [`one_line`], for a program whose settings have a flag and a variable each.
pub(crate) fn one_line_of_settings(error: &clap::Error) -> String {
    let advice = match wrong_value(error) {
        Some(_) => "; it is set by this flag or by the variable in <>, see --help",
        None => "; see --help",
    };
    said(error) + advice
}

/// Like [`one_line`], for a command whose settings are set by variables alone.
pub(crate) fn one_line_of_variables(error: &clap::Error) -> String {
    let said = said(error);
    match (text(error, ContextKind::InvalidArg), variable(error)) {
        (Some(argument), Some(variable)) => said.replace(
            &format!("'{argument}'"),
            &format!("the variable {variable}"),
        ),
        _ => said,
    }
}

/// What is wrong, and what is expected or similar.
fn said(error: &clap::Error) -> String {
    let said = wrong_value(error).unwrap_or_else(|| {
        let text = error.render().to_string();
        let said = text.split_once("\n\n").map_or(&*text, |(said, _)| said);
        let said = said.strip_prefix("error: ").unwrap_or(said).trim_end();
        match error.kind() {
            // Only clap's own lines: the others quote what was typed.
            ErrorKind::MissingRequiredArgument
            | ErrorKind::ArgumentConflict
            | ErrorKind::MissingSubcommand => in_one_line(said),
            _ => said.to_owned(),
        }
    });
    let said = said + &suggestion(error).unwrap_or_default();
    said.chars().flat_map(visible).collect()
}

/// A sentence with the list on the lines below it.
fn in_one_line(text: &str) -> String {
    let mut lines = text.lines().map(str::trim);
    let sentence = lines.next().unwrap_or_default();
    let list: Vec<_> = lines.filter(|line| !line.is_empty()).collect();
    match list.is_empty() {
        true => sentence.to_owned(),
        false => format!("{sentence} {}", list.join(", ")),
    }
}

/// The sentence about an invalid value; `None` for every other error.
fn wrong_value(error: &clap::Error) -> Option<String> {
    let is_value = matches!(
        error.kind(),
        ErrorKind::InvalidValue | ErrorKind::ValueValidation
    );
    let argument = text(error, ContextKind::InvalidArg).filter(|_| is_value)?;
    let value = text(error, ContextKind::InvalidValue)?;
    let expected = match (error.source(), error.get(ContextKind::ValidValue)) {
        (Some(cause), _) if cause.is::<ParseIntError>() => "expected a whole number".to_owned(),
        (Some(cause), _) => cause.to_string(),
        (None, Some(ContextValue::Strings(values))) if !values.is_empty() => {
            format!("expected {}", values.join(", "))
        }
        (None, _) => return None,
    };
    Some(format!(
        "invalid value '{value}' for '{argument}': {expected}"
    ))
}

fn suggestion(error: &clap::Error) -> Option<String> {
    let kinds = [
        (ContextKind::SuggestedArg, "argument"),
        (ContextKind::SuggestedSubcommand, "command"),
        (ContextKind::SuggestedValue, "value"),
    ];
    kinds.iter().find_map(|(kind, what)| {
        let similar = match error.get(*kind)? {
            ContextValue::String(similar) => similar.clone(),
            ContextValue::Strings(similar) => similar.join("', '"),
            _ => return None,
        };
        Some(format!("; a similar {what} exists: '{similar}'"))
    })
}

/// The variable of the setting that is wrong: `--flag <VARIABLE>`.
fn variable(error: &clap::Error) -> Option<&str> {
    let argument = text(error, ContextKind::InvalidArg)?;
    let (_, variable) = argument.split_once(" <")?;
    variable.strip_suffix('>')
}

fn text(error: &clap::Error, kind: ContextKind) -> Option<&str> {
    match error.get(kind)? {
        ContextValue::String(text) => Some(text),
        _ => None,
    }
}

/// The character, escaped if it is a control character.
fn visible(c: char) -> impl Iterator<Item = char> {
    let (raw, spelled) = match c.is_control() {
        true => (None, Some(c.escape_default())),
        false => (Some(c), None),
    };
    raw.into_iter().chain(spelled.into_iter().flatten())
}

#[cfg(test)]
mod tests {
    use clap::builder::PossibleValuesParser;
    use clap::{Arg, Command};

    use super::*;

    fn error(words: &[&str]) -> clap::Error {
        let format = Arg::new("format")
            .long("format")
            .value_name("FORMAT")
            .value_parser(PossibleValuesParser::new(["human", "json"]));
        let calls = Arg::new("calls")
            .long("calls")
            .value_name("CALLS")
            .value_parser(clap::value_parser!(u16).range(1..));
        let command = Command::new("mesh")
            .args([format, calls])
            .subcommand(Command::new("services"));
        let words = std::iter::once(&"mesh").chain(words);
        command.try_get_matches_from(words).unwrap_err()
    }

    #[test]
    fn an_error_names_the_value_what_is_expected_and_what_is_similar() {
        for (words, expected) in [
            (
                ["--format=jsn"],
                "invalid value 'jsn' for '--format <FORMAT>': expected human, json; a similar value \
                 exists: 'json'; see --help",
            ),
            (
                ["--format=a\n\nb\u{1b}"],
                r"invalid value 'a\n\nb\u{1b}' for '--format <FORMAT>': expected human, json; see --help",
            ),
            (
                ["--calls= 1"],
                "invalid value ' 1' for '--calls <CALLS>': expected a whole number; see --help",
            ),
            (
                ["--calls=0"],
                "invalid value '0' for '--calls <CALLS>': 0 is not in 1..=65535; see --help",
            ),
            (
                ["--calls"],
                "a value is required for '--calls <CALLS>' but none was supplied; see --help",
            ),
            (
                ["--cals=1"],
                "unexpected argument '--cals' found; a similar argument exists: '--calls'; see --help",
            ),
            (
                ["service"],
                "unrecognized subcommand 'service'; a similar command exists: 'services'; see --help",
            ),
        ] {
            assert_eq!(one_line(&error(&words)), expected);
        }
    }

    #[test]
    fn missing_and_conflicting_arguments_are_listed_in_the_line() {
        let required = |name: &'static str| Arg::new(name).long(name).required(true);
        let command = Command::new("program")
            .args([required("via"), required("to")])
            .arg(
                Arg::new("all")
                    .long("all")
                    .conflicts_with_all(["via", "to"]),
            );
        let line = |words: &[&str]| {
            let words = ["program"].iter().chain(words);
            one_line(&command.clone().try_get_matches_from(words).unwrap_err())
        };
        let missing = "the following required arguments were not provided:";
        assert_eq!(
            line(&["--to=1"]),
            format!("{missing} --via <via>; see --help")
        );
        assert_eq!(
            line(&[]),
            format!("{missing} --via <via>, --to <to>; see --help")
        );
        assert_eq!(
            line(&["--all=1", "--via=1", "--to=1"]),
            "the argument '--all <all>' cannot be used with: --via <via>, --to <to>; see --help"
        );
    }

    #[test]
    fn the_advice_names_flag_and_variable_or_the_variable_alone() {
        let error = error(&["--format=x"]);
        assert_eq!(
            one_line_of_settings(&error),
            "invalid value 'x' for '--format <FORMAT>': expected human, json; it is set by this flag \
             or by the variable in <>, see --help"
        );
        assert_eq!(
            one_line_of_variables(&error),
            "invalid value 'x' for the variable FORMAT: expected human, json"
        );
    }
}
