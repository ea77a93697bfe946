//! Validation of a book before it is stored. One error names every invalid field.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt;
use std::ops::RangeInclusive;

use axum::http::Uri;
use tonic::Status;
use vitalmesh_proto::bookstore::v1::CreateBookRequest;

/// Characters of a title or an author.
pub(crate) const MAX_NAME_CHARS: usize = 300;
/// Characters of a country or a language.
pub(crate) const MAX_ORIGIN_CHARS: usize = 100;
/// Characters of a link.
pub(crate) const MAX_LINK_CHARS: usize = 2000;
pub(crate) const PAGES: RangeInclusive<i32> = 1..=100_000;
pub(crate) const YEARS: RangeInclusive<i32> = -9999..=9999;
const CONTROL: &str = "has control characters";

/// A valid book without an id.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Draft(CreateBookRequest);

/// The invalid fields of a book and why. No message repeats the values.
#[derive(Clone, Debug, Default, PartialEq, Eq, thiserror::Error)]
pub struct InvalidBook(BTreeMap<&'static str, Cow<'static, str>>);

// === impl Draft ===

impl Draft {
    pub(crate) const fn book(&self) -> &CreateBookRequest {
        &self.0
    }
}

impl TryFrom<CreateBookRequest> for Draft {
    type Error = InvalidBook;

    fn try_from(book: CreateBookRequest) -> Result<Self, InvalidBook> {
        let mut invalid = InvalidBook::default();
        for (field, text) in [("author", &book.author), ("title", &book.title)] {
            if text.trim().is_empty() || text.chars().count() > MAX_NAME_CHARS {
                invalid.add(field, format!("is not 1 to {MAX_NAME_CHARS} characters"));
            } else if text.contains(char::is_control) {
                invalid.add(field, CONTROL);
            }
        }
        for (field, text) in [("country", &book.country), ("language", &book.language)] {
            if text.chars().count() > MAX_ORIGIN_CHARS {
                invalid.add(field, format!("is over {MAX_ORIGIN_CHARS} characters"));
            } else if text.contains(char::is_control) {
                invalid.add(field, CONTROL);
            }
        }
        if !is_link(&book.link) {
            let reason =
                format!("is not an http or https URL of at most {MAX_LINK_CHARS} characters");
            invalid.add("link", reason);
        }
        for (field, number, range) in [("pages", book.pages, PAGES), ("year", book.year, YEARS)] {
            if !range.contains(&number) {
                let reason = format!("is not {} to {}", range.start(), range.end());
                invalid.add(field, reason);
            }
        }
        match invalid.0.is_empty() {
            true => Ok(Self(book)),
            false => Err(invalid),
        }
    }
}

// === impl InvalidBook ===

impl InvalidBook {
    /// Marks `field` as invalid. The last reason counts.
    pub(crate) fn add(&mut self, field: &'static str, reason: impl Into<Cow<'static, str>>) {
        self.0.insert(field, reason.into());
    }
}

impl fmt::Display for InvalidBook {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, (field, reason)) in self.0.iter().enumerate() {
            let separator = if index == 0 { "" } else { "; " };
            write!(f, "{separator}{field} {reason}")?;
        }
        Ok(())
    }
}

impl From<InvalidBook> for Status {
    fn from(invalid: InvalidBook) -> Self {
        Self::invalid_argument(invalid.to_string())
    }
}

fn is_link(link: &str) -> bool {
    let parsed = link.parse::<Uri>();
    link.chars().count() <= MAX_LINK_CHARS
        && parsed.is_ok_and(|uri| {
            matches!(uri.scheme_str(), Some("http" | "https"))
                && uri.host().is_some_and(|host| !host.is_empty())
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn book() -> CreateBookRequest {
        CreateBookRequest {
            author: "Jane Austen".to_owned(),
            country: "United Kingdom".to_owned(),
            language: "English".to_owned(),
            link: "https://en.wikipedia.org/wiki/Emma_(novel)".to_owned(),
            pages: 1036,
            title: "Emma".to_owned(),
            year: 1815,
        }
    }

    /// The invalid fields of a valid book after `change`.
    fn invalid_fields(change: impl FnOnce(&mut CreateBookRequest)) -> Vec<&'static str> {
        let mut changed = book();
        change(&mut changed);
        match Draft::try_from(changed) {
            Ok(_) => Vec::new(),
            Err(InvalidBook(fields)) => fields.into_keys().collect(),
        }
    }

    #[test]
    fn a_valid_book_is_unchanged() {
        assert_eq!(Draft::try_from(book()), Ok(Draft(book())));
    }

    #[test]
    fn country_language_and_year_are_optional() {
        let invalid = invalid_fields(|book| {
            book.country.clear();
            book.language.clear();
            book.year = 0;
        });
        assert_eq!(invalid, [""; 0]);
    }

    #[test]
    fn one_error_names_every_invalid_field() {
        let invalid = Draft::try_from(CreateBookRequest {
            country: "a\nb".to_owned(),
            language: "é".repeat(MAX_ORIGIN_CHARS + 1),
            year: 10_000,
            ..CreateBookRequest::default()
        });
        assert_eq!(
            invalid.unwrap_err().to_string(),
            "author is not 1 to 300 characters; country has control characters; \
             language is over 100 characters; \
             link is not an http or https URL of at most 2000 characters; pages is not 1 to 100000; \
             title is not 1 to 300 characters; year is not -9999 to 9999"
        );
    }

    #[test]
    fn texts_have_a_limit_in_characters() {
        assert_eq!(
            invalid_fields(|book| book.title = "é".repeat(MAX_NAME_CHARS)),
            [""; 0]
        );
        assert_eq!(
            invalid_fields(|book| book.title = "é".repeat(MAX_NAME_CHARS + 1)),
            ["title"]
        );
        assert_eq!(
            invalid_fields(|book| book.author = "a".repeat(MAX_NAME_CHARS)),
            [""; 0]
        );
        assert_eq!(
            invalid_fields(|book| book.author = "a".repeat(MAX_NAME_CHARS + 1)),
            ["author"]
        );
        assert_eq!(
            invalid_fields(|book| book.language = "a".repeat(MAX_ORIGIN_CHARS)),
            [""; 0]
        );
        for text in ["", "  ", "a\0", "a\u{1b}[31m", "\u{85}"] {
            assert_eq!(
                invalid_fields(|book| book.title = text.to_owned()),
                ["title"],
                "{text:?}"
            );
        }
    }

    #[test]
    fn numbers_have_a_range() {
        for pages in [1, 100_000] {
            assert_eq!(
                invalid_fields(|book| book.pages = pages),
                [""; 0],
                "{pages}"
            );
        }
        for pages in [0, -1, 100_001, i32::MIN, i32::MAX] {
            assert_eq!(
                invalid_fields(|book| book.pages = pages),
                ["pages"],
                "{pages}"
            );
        }
        for year in [-9999, 9999] {
            assert_eq!(invalid_fields(|book| book.year = year), [""; 0], "{year}");
        }
        for year in [-10_000, 10_000, i32::MIN, i32::MAX] {
            assert_eq!(invalid_fields(|book| book.year = year), ["year"], "{year}");
        }
    }

    #[test]
    fn a_link_is_an_http_url_with_a_host() {
        let longest = format!("http://a/{}", "b".repeat(MAX_LINK_CHARS - 9));
        for link in [
            "http://a",
            "HTTPS://a.b:8/c?d=e",
            "https://[::1]/",
            &longest,
        ] {
            assert_eq!(
                invalid_fields(|book| book.link = link.to_owned()),
                [""; 0],
                "{link}"
            );
        }
        let too_long = format!("{longest}b");
        for link in [
            "",
            "a.b/c",
            "ftp://a/b",
            "javascript:alert(1)",
            "http://",
            "http:///a",
            "//a/b",
            "https://a b",
            "http://a/\n",
            &too_long,
        ] {
            assert_eq!(
                invalid_fields(|book| book.link = link.to_owned()),
                ["link"],
                "{link}"
            );
        }
    }
}
