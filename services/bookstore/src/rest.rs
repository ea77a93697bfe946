//! The REST routes. Each calls the bookstore's own gRPC port, so that validation, metrics, traces and
//! deadlines are those of every call.

mod book_body;
mod books;
mod document;
mod error;
mod input;
mod recommendations;
mod rows;
mod upstream;

use axum::Router;
use axum::extract::DefaultBodyLimit;
use axum::http::header::{CONTENT_SECURITY_POLICY, CONTENT_TYPE};
use axum::response::Html;
use axum::routing::{get, post};
use vitalmesh_chassis::{AnyChannel, Method, Route};

pub use self::upstream::Upstream;

use self::error::Error;

/// Bytes of a request's body: several times those of the largest valid book.
const MAX_BODY_BYTES: usize = 64 << 10;
const PAGE: &str = include_str!("rest/page.html");
/// The page may not load anything from other hosts.
const PAGE_POLICY: &str = "default-src 'none'; script-src 'unsafe-inline'; \
                           style-src 'unsafe-inline'; connect-src 'self'";

/// The routes and their statuses.
pub(crate) const ROUTES: &[Route] = &[
    Route::new(Method::GET, "/", &[200]),
    Route::new(Method::GET, "/openapi.json", &[200]),
    Route::with_upstreams(Method::POST, "/books", &[201, 408, 413, 415, 422]),
    Route::with_upstreams(Method::GET, "/books", &[200]),
    Route::with_upstreams(Method::GET, "/books/{book_id}", &[200]),
    Route::with_upstreams(Method::GET, "/{n}", &[200]),
];

/// The routes over the gRPC service behind `upstream`.
pub fn router<C: AnyChannel>(upstream: Upstream<C>) -> Router {
    let openapi = document::json();
    let openapi = async move || ([(CONTENT_TYPE, "application/json")], openapi.clone());
    Router::new()
        .route(
            "/",
            get(([(CONTENT_SECURITY_POLICY, PAGE_POLICY)], Html(PAGE))),
        )
        .route("/openapi.json", get(openapi))
        .route("/books", post(books::create::<C>).get(books::list::<C>))
        .route("/books/{book_id}", get(books::retrieve::<C>))
        .route("/{n}", get(recommendations::recommend::<C>))
        .with_state(upstream)
        .layer(DefaultBodyLimit::max(MAX_BODY_BYTES))
        .fallback(|| async { Error::UnknownPath })
        .method_not_allowed_fallback(|| async { Error::WrongMethod })
}
