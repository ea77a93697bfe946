//! Lists of preferences with weights, as in `Accept` and `Accept-Encoding`: RFC 9110, sections 5.6
//! and 12.4.2.

use std::borrow::Cow;

/// A weight in thousandths: `q=0.5` is 500.
pub(crate) type Weight = u16;

/// The weight of an element without `q`.
const FULL: Weight = 1_000;

/// One element of a list: a value, its parameters and its weight.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Preference<'a> {
    pub(crate) value: &'a str,
    /// Those before the weight. Their names have no fixed case.
    pub(crate) parameters: Vec<(&'a str, Cow<'a, str>)>,
    pub(crate) weight: Weight,
}

/// The elements of a list. Empty and malformed ones are skipped.
pub(crate) fn preferences(list: &str) -> impl Iterator<Item = Preference<'_>> {
    split(list, ',').filter_map(Preference::parse)
}

// === impl Preference ===

impl<'a> Preference<'a> {
    fn parse(element: &'a str) -> Option<Self> {
        let mut parts = split(element, ';');
        let mut preference = Self {
            value: parts.next().filter(|value| !value.is_empty())?,
            parameters: Vec::new(),
            weight: FULL,
        };
        for part in parts.filter(|part| !part.is_empty()) {
            let (name, value) = part.split_once('=')?;
            let (name, value) = (trim(name), unquoted(trim(value))?);
            if name.eq_ignore_ascii_case("q") {
                preference.weight = weight(&value)?;
                // What follows a weight has had no meaning since RFC 9110.
                break;
            }
            preference.parameters.push((name, value));
        }
        Some(preference)
    }
}

/// The parts between separators that are not in a quoted string, without whitespace around them.
fn split(text: &str, separator: char) -> impl Iterator<Item = &str> {
    let (mut quoted, mut escaped) = (false, false);
    let separates = move |c: char| {
        let ends = c == separator && !quoted;
        if c == '"' && !escaped {
            quoted = !quoted;
        }
        escaped = quoted && c == '\\' && !escaped;
        ends
    };
    text.split(separates).map(trim)
}

fn trim(text: &str) -> &str {
    text.trim_matches([' ', '\t'])
}

/// The content of a quoted string, or the token. `None` if a quote is not closed.
fn unquoted(value: &str) -> Option<Cow<'_, str>> {
    let Some(rest) = value.strip_prefix('"') else {
        return Some(Cow::Borrowed(value));
    };
    let content = rest.strip_suffix('"')?;
    if !content.contains('\\') {
        return Some(Cow::Borrowed(content));
    }
    let mut text = String::with_capacity(content.len());
    let mut rest = content.chars();
    while let Some(c) = rest.next() {
        text.push(if c == '\\' { rest.next()? } else { c });
    }
    Some(Cow::Owned(text))
}

/// `0` or `1` with at most three decimals, and at most 1.
fn weight(value: &str) -> Option<Weight> {
    let (whole, decimals) = value.split_once('.').unwrap_or((value, ""));
    let whole = match whole {
        "0" => 0,
        "1" => FULL,
        _ => return None,
    };
    if decimals.len() > 3 || !decimals.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let decimals: Weight = format!("{decimals:0<3}").parse().ok()?;
    (whole + decimals <= FULL).then_some(whole + decimals)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    type Read<'a> = (&'a str, Vec<(&'a str, String)>, Weight);

    fn read(list: &str) -> Vec<Read<'_>> {
        let owned = |(name, value): (_, Cow<'_, str>)| (name, value.into_owned());
        preferences(list)
            .map(|p| {
                (
                    p.value,
                    p.parameters.into_iter().map(owned).collect(),
                    p.weight,
                )
            })
            .collect()
    }

    #[test]
    fn an_element_has_a_value_parameters_and_a_weight() {
        let version = |value: &str| vec![("version", value.to_owned())];
        for (list, expected) in [
            ("", vec![]),
            (" , ,\t", vec![]),
            ("a/b", vec![("a/b", vec![], 1_000)]),
            ("a;q=0.5,b", vec![("a", vec![], 500), ("b", vec![], 1_000)]),
            (
                "a\t; Q = 0.25 ,b ;q=1.0",
                vec![("a", vec![], 250), ("b", vec![], 1_000)],
            ),
            ("a;version=1;q=0", vec![("a", version("1"), 0)]),
            (
                "a;version=\"1,2;q=0\";q=0.1",
                vec![("a", version("1,2;q=0"), 100)],
            ),
            (
                r#"a;version="\"\\";q=0.1"#,
                vec![("a", version("\"\\"), 100)],
            ),
            ("a;;q=0.001;", vec![("a", vec![], 1)]),
            ("a;q=0.3;version=1", vec![("a", vec![], 300)]),
        ] {
            assert_eq!(read(list), expected, "{list}");
        }
    }

    #[test]
    fn a_malformed_element_is_skipped_and_the_others_count() {
        for malformed in [
            "a;q=",
            "a;q=x",
            "a;q=2",
            "a;q=1.001",
            "a;q=0.0001",
            "a;q=-1",
            "a;q=.5",
            "a;q=+0.5",
            "a;q=nan",
            "a;q=1e-1",
            "a;q",
            "a;version",
            "a;version=\"1\"x",
            ";q=0.5",
        ] {
            let list = format!("{malformed}, b;q=0.5");
            assert_eq!(read(&list), [("b", vec![], 500)], "{list}");
        }
        // The quoted string reaches to the end.
        assert_eq!(read("b, a;version=\"1, c"), [("b", vec![], 1_000)]);
    }

    proptest! {
        #[test]
        fn what_is_written_by_the_grammar_is_read(
            written in prop::collection::vec(
                ("[a-z*]{1,3}(/[a-z*]{1,3})?", prop::collection::vec(("[a-pr-z]{1,3}", ".{0,4}"), 0..3),
                 0..=FULL, "[ \t]{0,2}"),
                0..4,
            ),
        ) {
            let quoted = |text: &str| text.replace('\\', "\\\\").replace('"', "\\\"");
            let list: Vec<_> = written.iter().map(|(value, parameters, weight, space)| {
                let parameters: String = parameters.iter()
                    .map(|(name, value)| format!("{space};{space}{name}=\"{}\"", quoted(value)))
                    .collect();
                let (whole, decimals) = (weight / FULL, weight % FULL);
                format!("{space}{value}{parameters}{space};{space}q={whole}.{decimals:03}")
            }).collect();
            let expected: Vec<_> = written.iter().map(|(value, parameters, weight, _)| {
                let parameters = parameters.iter().map(|(name, value)| (name.as_str(), value.clone()));
                (value.as_str(), parameters.collect(), *weight)
            }).collect();
            let list = list.join(",");
            prop_assert_eq!(read(&list), expected);
        }

        #[test]
        fn no_list_panics(list in ".{0,60}") {
            for preference in preferences(&list) {
                prop_assert!(preference.weight <= FULL);
            }
        }
    }
}
