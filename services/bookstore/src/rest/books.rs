//! `/books`: store one, get one, list them.

use axum::Json;
use axum::body::Body;
use axum::extract::State;
use axum::http::header::{CONTENT_TYPE, LOCATION};
use axum::http::{HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use utoipa::ToSchema;
use vitalmesh_proto::bookstore::v1;

use super::document::Problem;
use super::error::Error;
use super::input::{Asked, BookId, Sent, Years};
use super::new_book::NewBook;
use super::rows::{Framing, Rows};
use super::upstream::{Channel, Upstream};

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

/// Store a book. It is on disk when the answer comes.
#[utoipa::path(
    post, path = "/books", tag = "books", request_body = NewBook,
    responses(
        (status = 201, description = "Stored", body = Book,
         headers(("location" = String, description = "Where the book is"))),
        (status = 400, description = "The body is no JSON, or fields are missing or out of range: \
                                       each is named",
         body = Problem, content_type = "application/problem+json"),
        (status = 408, description = "The body came too slowly",
         body = Problem, content_type = "application/problem+json"),
        (status = 413, description = "The body is larger than 64 KiB",
         body = Problem, content_type = "application/problem+json"),
        (status = 415, description = "The body is not application/json",
         body = Problem, content_type = "application/problem+json"),
        (status = 422, description = "The JSON is no object, or fields are of another type or \
                                       unknown: each that is wrong is named",
         body = Problem, content_type = "application/problem+json"),
    )
)]
pub(crate) async fn create<C: Channel>(
    State(upstream): State<Upstream<C>>,
    Sent(book): Sent<NewBook>,
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
        (status = 400, description = "The id is none",
         body = Problem, content_type = "application/problem+json"),
        (status = 404, description = "There is no such book",
         body = Problem, content_type = "application/problem+json"),
    )
)]
pub(crate) async fn retrieve<C: Channel>(
    State(upstream): State<Upstream<C>>,
    BookId(book_id): BookId,
) -> Result<Json<Book>, Error> {
    let request = v1::RetrieveBookRequest { book_id };
    let book = upstream.calls().retrieve_book(request).await?;
    Ok(Json(book.into_inner().into()))
}

/// List the books of some years, oldest first; all books where no year is given.
#[utoipa::path(
    get, path = "/books", tag = "books", params(Years),
    responses(
        (status = 200, description = "The books, as one array that is streamed", body = Vec<Book>),
        (status = 400, description = "Only one year, no year, or start is after end",
         body = Problem, content_type = "application/problem+json"),
        (status = 429, description = "Too many streams are open",
         body = Problem, content_type = "application/problem+json"),
    )
)]
pub(crate) async fn list<C: Channel>(
    State(upstream): State<Upstream<C>>,
    Asked(Years { start, end }): Asked<Years>,
) -> Result<Response, Error> {
    let mut download = upstream.download()?;
    let request = v1::ListBooksRequest { start, end };
    let books = download.client.list_books(request).await?.into_inner();
    let rows = Rows::new(books, Framing::ARRAY, Book::from, download.place);
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
