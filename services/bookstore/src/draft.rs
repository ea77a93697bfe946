//! A book that is to be stored: checked, every wrong field named at once.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt;
use std::ops::RangeInclusive;

use axum::http::Uri;
use tonic::Status;
use vitalmesh_proto::bookstore::v1::CreateBookRequest;

/// Characters of a title or an author.
pub(crate) const MAX_NAME: usize = 300;
/// Characters of a country or a language.
pub(crate) const MAX_ORIGIN: usize = 100;
/// Characters of a link.
pub(crate) const MAX_LINK: usize = 2000;
pub(crate) const PAGES: RangeInclusive<i32> = 1..=100_000;
pub(crate) const YEARS: RangeInclusive<i32> = -9999..=9999;
const CONTROL: &str = "has control characters";

/// A book that is in order.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Draft(CreateBookRequest);

/// What is wrong with a book, by field. No text repeats what was sent.
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
            if text.trim().is_empty() || text.chars().count() > MAX_NAME {
                invalid.name(field, format!("is not 1 to {MAX_NAME} characters"));
            } else if text.contains(char::is_control) {
                invalid.name(field, CONTROL);
            }
        }
        for (field, text) in [("country", &book.country), ("language", &book.language)] {
            if text.chars().count() > MAX_ORIGIN {
                invalid.name(field, format!("is over {MAX_ORIGIN} characters"));
            } else if text.contains(char::is_control) {
                invalid.name(field, CONTROL);
            }
        }
        if !is_link(&book.link) {
            let what = format!("is no http or https URL of at most {MAX_LINK} characters");
            invalid.name("link", what);
        }
        for (field, number, range) in [("pages", book.pages, PAGES), ("year", book.year, YEARS)] {
            if !range.contains(&number) {
                let what = format!("is not {} to {}", range.start(), range.end());
                invalid.name(field, what);
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
    /// Says that `field` is wrong, instead of what was said of it before.
    pub(crate) fn name(&mut self, field: &'static str, what: impl Into<Cow<'static, str>>) {
        self.0.insert(field, what.into());
    }
}

impl fmt::Display for InvalidBook {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, (field, what)) in self.0.iter().enumerate() {
            let separator = if index == 0 { "" } else { "; " };
            write!(f, "{separator}{field} {what}")?;
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
    link.chars().count() <= MAX_LINK
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

    /// The fields that are wrong in what `change` makes of a book that is in order.
    fn wrong(change: impl FnOnce(&mut CreateBookRequest)) -> Vec<&'static str> {
        let mut changed = book();
        change(&mut changed);
        match Draft::try_from(changed) {
            Ok(_) => Vec::new(),
            Err(InvalidBook(wrong)) => wrong.into_keys().collect(),
        }
    }

    #[test]
    fn a_book_in_order_is_taken_as_it_is() {
        assert_eq!(Draft::try_from(book()), Ok(Draft(book())));
    }

    #[test]
    fn country_language_and_year_may_be_left_out() {
        let lean = wrong(|book| {
            book.country.clear();
            book.language.clear();
            book.year = 0;
        });
        assert_eq!(lean, [""; 0]);
    }

    #[test]
    fn one_message_names_every_wrong_field() {
        let invalid = Draft::try_from(CreateBookRequest {
            country: "a\nb".to_owned(),
            language: "é".repeat(MAX_ORIGIN + 1),
            year: 10_000,
            ..CreateBookRequest::default()
        });
        assert_eq!(
            invalid.unwrap_err().to_string(),
            "author is not 1 to 300 characters; country has control characters; \
             language is over 100 characters; \
             link is no http or https URL of at most 2000 characters; pages is not 1 to 100000; \
             title is not 1 to 300 characters; year is not -9999 to 9999"
        );
    }

    #[test]
    fn texts_are_held_to_their_length_in_characters() {
        assert_eq!(wrong(|book| book.title = "é".repeat(MAX_NAME)), [""; 0]);
        assert_eq!(
            wrong(|book| book.title = "é".repeat(MAX_NAME + 1)),
            ["title"]
        );
        assert_eq!(wrong(|book| book.author = "a".repeat(MAX_NAME)), [""; 0]);
        assert_eq!(
            wrong(|book| book.author = "a".repeat(MAX_NAME + 1)),
            ["author"]
        );
        assert_eq!(
            wrong(|book| book.language = "a".repeat(MAX_ORIGIN)),
            [""; 0]
        );
        for text in ["", "  ", "a\0", "a\u{1b}[31m", "\u{85}"] {
            assert_eq!(
                wrong(|book| book.title = text.to_owned()),
                ["title"],
                "{text:?}"
            );
        }
    }

    #[test]
    fn numbers_are_held_to_their_ranges() {
        for pages in [1, 100_000] {
            assert_eq!(wrong(|book| book.pages = pages), [""; 0], "{pages}");
        }
        for pages in [0, -1, 100_001, i32::MIN, i32::MAX] {
            assert_eq!(wrong(|book| book.pages = pages), ["pages"], "{pages}");
        }
        for year in [-9999, 9999] {
            assert_eq!(wrong(|book| book.year = year), [""; 0], "{year}");
        }
        for year in [-10_000, 10_000, i32::MIN, i32::MAX] {
            assert_eq!(wrong(|book| book.year = year), ["year"], "{year}");
        }
    }

    #[test]
    fn a_link_is_an_http_url_with_a_host() {
        let longest = format!("http://a/{}", "b".repeat(MAX_LINK - 9));
        for link in [
            "http://a",
            "HTTPS://a.b:8/c?d=e",
            "https://[::1]/",
            &longest,
        ] {
            assert_eq!(wrong(|book| book.link = link.to_owned()), [""; 0], "{link}");
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
                wrong(|book| book.link = link.to_owned()),
                ["link"],
                "{link}"
            );
        }
    }
}
