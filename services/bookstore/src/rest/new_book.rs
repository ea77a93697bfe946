//! The book of a request's body. All that is wrong with it is named at once.

use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};
use utoipa::ToSchema;
use vitalmesh_proto::bookstore::v1::CreateBookRequest;

use crate::draft::{Draft, InvalidBook};

const TEXT: &str = "is no text";
const INTEGER: &str = "is no 32-bit integer";

/// A book to store.
#[derive(Clone, Debug, Deserialize, ToSchema)]
// From a map, which serde does not stop reading at the first field that is wrong. The other
// attributes of serde's are for the document alone.
#[serde(from = "Map<String, Value>", deny_unknown_fields)]
pub(crate) struct NewBook {
    #[schema(min_length = 1, max_length = 300, example = "Jane Austen")]
    author: String,
    #[serde(default)]
    #[schema(max_length = 100, example = "United Kingdom")]
    country: String,
    #[serde(default)]
    #[schema(max_length = 100, example = "English")]
    language: String,
    /// An http or https URL.
    #[schema(
        max_length = 2000,
        pattern = "^https?://[A-Za-z0-9]",
        example = "https://en.wikipedia.org/wiki/Emma_(novel)"
    )]
    link: String,
    #[schema(minimum = 1, maximum = 100_000, example = 1036)]
    pages: i32,
    #[schema(min_length = 1, max_length = 300, example = "Emma")]
    title: String,
    /// The year of publication; negative before the common era.
    #[serde(default)]
    #[schema(minimum = -9999, maximum = 9999, example = 1815)]
    year: i32,
    #[serde(skip)]
    mistyped: Vec<Mistyped>,
    #[serde(skip)]
    unknown: Vec<String>,
}

/// A field that no message of gRPC could carry.
#[derive(Clone, Copy, Debug)]
struct Mistyped {
    field: &'static str,
    what: &'static str,
}

/// Why JSON is no book: its wrong fields, and those that no book has.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{}", self.fields().join("; "))]
pub(crate) struct NotABook {
    invalid: Option<InvalidBook>,
    unknown: Vec<String>,
}

// === impl NewBook ===

impl From<Map<String, Value>> for NewBook {
    fn from(mut sent: Map<String, Value>) -> Self {
        let mut mistyped = Vec::new();
        let mut text = |field| typed(&mut sent, field, TEXT, &mut mistyped);
        let (author, country, language) = (text("author"), text("country"), text("language"));
        let (link, title) = (text("link"), text("title"));
        let mut integer = |field| typed(&mut sent, field, INTEGER, &mut mistyped);
        let (pages, year) = (integer("pages"), integer("year"));
        Self {
            author,
            country,
            language,
            link,
            pages,
            title,
            year,
            mistyped,
            unknown: sent.into_iter().map(|(field, _)| field).collect(),
        }
    }
}

// === impl CreateBookRequest ===

/// Fields that are missing or out of range are left to the gRPC side, unless there are others that
/// do not get that far.
impl TryFrom<NewBook> for CreateBookRequest {
    type Error = NotABook;

    fn try_from(book: NewBook) -> Result<Self, NotABook> {
        let request = Self {
            author: book.author,
            country: book.country,
            language: book.language,
            link: book.link,
            pages: book.pages,
            title: book.title,
            year: book.year,
        };
        if book.mistyped.is_empty() && book.unknown.is_empty() {
            return Ok(request);
        }
        let mut invalid = Draft::try_from(request).err();
        for Mistyped { field, what } in book.mistyped {
            invalid.get_or_insert_default().name(field, what);
        }
        let unknown = book.unknown;
        Err(NotABook { invalid, unknown })
    }
}

// === impl NotABook ===

impl NotABook {
    fn fields(&self) -> Vec<String> {
        let invalid = self.invalid.iter().map(ToString::to_string);
        let unknown = self.unknown.iter();
        let unknown = unknown.map(|field| format!("{field} is no field of a book"));
        invalid.chain(unknown).collect()
    }
}

fn typed<T: DeserializeOwned + Default>(
    sent: &mut Map<String, Value>,
    field: &'static str,
    what: &'static str,
    mistyped: &mut Vec<Mistyped>,
) -> T {
    let Some(value) = sent.remove(field) else {
        return T::default();
    };
    T::deserialize(value).unwrap_or_else(|_| {
        mistyped.push(Mistyped { field, what });
        T::default()
    })
}
