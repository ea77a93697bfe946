//! `/books`: create, retrieve and list.

use axum::Json;
use axum::body::Body;
use axum::extract::State;
use axum::http::header::{CONTENT_TYPE, LOCATION};
use axum::http::{HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use utoipa::ToSchema;
use vitalmesh_chassis::{AnyChannel, Problem};
use vitalmesh_proto::bookstore::v1;

use super::book_body::BookBody;
use super::error::Error;
use super::input::{BookId, JsonBody, QueryParams, Years};
use super::rows::{RowFormat, Rows};
use super::upstream::Upstream;

/// A stored book.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub(crate) struct Book {
    book_id: i32,
    author: String,
    country: String,
    language: String,
    link: String,
    pages: i32,
    title: String,
    year: i32,
}

/// Store a book. It is on the disk before the response.
#[utoipa::path(
    post, path = "/books", tag = "books", request_body = BookBody,
    responses(
        (status = 201, description = "Stored", body = Book,
         headers(("location" = String, description = "Where the book is"))),
        (status = 400, description = "The body is not JSON, or fields are missing or invalid: each is \
                                       named",
         body = Problem, content_type = "application/problem+json"),
        (status = 408, description = "The body did not arrive in time",
         body = Problem, content_type = "application/problem+json"),
        (status = 413, description = "The body is larger than 64 KiB",
         body = Problem, content_type = "application/problem+json"),
        (status = 415, description = "The body is not application/json",
         body = Problem, content_type = "application/problem+json"),
        (status = 422, description = "The JSON is not an object, or fields have another type or are \
                                       unknown: each is named",
         body = Problem, content_type = "application/problem+json"),
    )
)]
pub(crate) async fn create<C: AnyChannel>(
    State(upstream): State<Upstream<C>>,
    JsonBody(book): JsonBody<BookBody>,
) -> Result<Response, Error> {
    let request = v1::CreateBookRequest::try_from(book)?;
    let stored = upstream.calls().create_book(request).await?.into_inner();
    let location = format!("/books/{}", stored.book_id);
    let body = Json(Book::from(stored));
    Ok((StatusCode::CREATED, [(LOCATION, location)], body).into_response())
}

/// Get one book.
#[utoipa::path(
    get, path = "/books/{book_id}", tag = "books",
    params(("book_id" = i32, Path, minimum = 1, maximum = 2_147_483_647)),
    responses(
        (status = 200, description = "The book", body = Book),
        (status = 400, description = "The id is not a whole number in its range",
         body = Problem, content_type = "application/problem+json"),
        (status = 404, description = "There is no such book",
         body = Problem, content_type = "application/problem+json"),
    )
)]
pub(crate) async fn retrieve<C: AnyChannel>(
    State(upstream): State<Upstream<C>>,
    BookId(book_id): BookId,
) -> Result<Json<Book>, Error> {
    let request = v1::RetrieveBookRequest { book_id };
    let book = upstream.calls().retrieve_book(request).await?;
    Ok(Json(book.into_inner().into()))
}

/// List the books of a range of years, oldest first, or all books.
#[utoipa::path(
    get, path = "/books", tag = "books", params(Years),
    responses(
        (status = 200, description = "The books, streamed as one array", body = Vec<Book>),
        (status = 400, description = "Only one year is given, one is not a year, or start is after end",
         body = Problem, content_type = "application/problem+json"),
        (status = 429, description = "The limit of open streams is reached",
         body = Problem, content_type = "application/problem+json"),
    )
)]
pub(crate) async fn list<C: AnyChannel>(
    State(upstream): State<Upstream<C>>,
    QueryParams(Years { start, end }): QueryParams<Years>,
) -> Result<Response, Error> {
    let mut download = upstream.download()?;
    let request = v1::ListBooksRequest { start, end };
    let books = download.client.list_books(request).await?.into_inner();
    let rows = Rows::new(books, RowFormat::ARRAY, Book::from, download.permit);
    let json = HeaderValue::from_static("application/json");
    Ok(([(CONTENT_TYPE, json)], Body::new(rows)).into_response())
}

// === impl Book ===

impl From<v1::Book> for Book {
    fn from(book: v1::Book) -> Self {
        Self {
            book_id: book.book_id,
            author: book.author,
            country: book.country,
            language: book.language,
            link: book.link,
            pages: book.pages,
            title: book.title,
            year: book.year,
        }
    }
}
