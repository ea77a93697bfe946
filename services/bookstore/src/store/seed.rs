//! The first books of a new store, from `data/books.json`.

use serde::Deserialize;
use vitalmesh_proto::bookstore::v1::CreateBookRequest;

use crate::draft::{Draft, InvalidBook};

const BOOKS: &str = include_str!("../../data/books.json");

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Classic {
    title: String,
    author: String,
    country: String,
    language: String,
    year: i32,
    pages: i32,
    link: String,
}

#[derive(Debug, thiserror::Error)]
pub enum SeedError {
    #[error("data/books.json: {0}")]
    Json(#[from] serde_json::Error),
    #[error("data/books.json: {title}: {invalid}")]
    Book { title: String, invalid: InvalidBook },
}

pub(super) fn books() -> Result<Vec<Draft>, SeedError> {
    let classics: Vec<Classic> = serde_json::from_str(BOOKS)?;
    classics.into_iter().map(draft).collect()
}

fn draft(classic: Classic) -> Result<Draft, SeedError> {
    let title = classic.title.clone();
    let book = CreateBookRequest {
        author: classic.author,
        country: classic.country,
        language: classic.language,
        link: classic.link,
        pages: classic.pages,
        title: classic.title,
        year: classic.year,
    };
    Draft::try_from(book).map_err(|invalid| SeedError::Book { title, invalid })
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn there_are_at_least_a_hundred_distinct_classics_with_every_field() {
        let books = books().unwrap();
        let books: Vec<_> = books.iter().map(Draft::book).collect();
        let titles: BTreeSet<_> = books.iter().map(|book| &book.title).collect();
        assert!(
            titles.len() >= 100 && titles.len() == books.len(),
            "{}",
            titles.len()
        );
        for book in &books {
            assert!(
                !book.country.is_empty() && !book.language.is_empty(),
                "{}",
                book.title
            );
            let is_article = book.link.starts_with("https://en.wikipedia.org/wiki/");
            assert!(is_article, "{}: {}", book.title, book.link);
        }
        let years: Vec<_> = books.iter().map(|book| book.year).collect();
        assert!(
            years.is_sorted() && years[0] < 0,
            "oldest first, from before the common era"
        );
    }
}
