//! The book in a request's body. One error names every field that is invalid.

use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};
use utoipa::ToSchema;
use vitalmesh_proto::bookstore::v1::CreateBookRequest;

use crate::draft::{Draft, InvalidBook};

const NOT_A_STRING: &str = "is not a string";
const NOT_AN_INTEGER: &str = "is not a 32-bit integer";

/// A book to store.
#[derive(Clone, Debug, Deserialize, ToSchema)]
// From a map: serde's derive would stop at the first field of a wrong type. The fields' own serde
// attributes serve the OpenAPI document alone.
#[serde(from = "Map<String, Value>", deny_unknown_fields)]
#[schema(as = NewBook)]
pub(crate) struct BookBody {
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

/// A field whose value does not fit the type of the gRPC message.
#[derive(Clone, Copy, Debug)]
struct Mistyped {
    field: &'static str,
    reason: &'static str,
}

/// The invalid fields of a body, and those that a book does not have.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{}", self.fields().join("; "))]
pub(crate) struct InvalidBody {
    invalid: Option<InvalidBook>,
    unknown: Vec<String>,
}

// === impl BookBody ===

impl From<Map<String, Value>> for BookBody {
    fn from(mut object: Map<String, Value>) -> Self {
        let mut mistyped = Vec::new();
        let mut text = |field| typed(&mut object, field, NOT_A_STRING, &mut mistyped);
        let (author, country, language) = (text("author"), text("country"), text("language"));
        let (link, title) = (text("link"), text("title"));
        let mut integer = |field| typed(&mut object, field, NOT_AN_INTEGER, &mut mistyped);
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
            unknown: object.into_iter().map(|(field, _)| field).collect(),
        }
    }
}

// === impl CreateBookRequest ===

/// A body of the right types is left to the gRPC service to validate. Otherwise its other invalid
/// fields are named here, too.
impl TryFrom<BookBody> for CreateBookRequest {
    type Error = InvalidBody;

    fn try_from(book: BookBody) -> Result<Self, InvalidBody> {
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
        for Mistyped { field, reason } in book.mistyped {
            invalid.get_or_insert_default().add(field, reason);
        }
        let unknown = book.unknown;
        Err(InvalidBody { invalid, unknown })
    }
}

// === impl InvalidBody ===

impl InvalidBody {
    fn fields(&self) -> Vec<String> {
        let invalid = self.invalid.iter().map(ToString::to_string);
        let unknown = self.unknown.iter();
        let unknown = unknown.map(|field| format!("{field} is not a field of a book"));
        invalid.chain(unknown).collect()
    }
}

fn typed<T: DeserializeOwned + Default>(
    object: &mut Map<String, Value>,
    field: &'static str,
    reason: &'static str,
    mistyped: &mut Vec<Mistyped>,
) -> T {
    let Some(value) = object.remove(field) else {
        return T::default();
    };
    T::deserialize(value).unwrap_or_else(|_| {
        mistyped.push(Mistyped { field, reason });
        T::default()
    })
}
