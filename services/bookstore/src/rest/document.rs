//! The OpenAPI document of the REST routes.

use bytes::Bytes;
use utoipa::OpenApi;

use super::{books, recommendations};

#[derive(OpenApi)]
#[openapi(
    info(
        title = "Bookstore",
        description = "Books, and recommendations of any number."
    ),
    paths(
        books::create,
        books::list,
        books::retrieve,
        recommendations::recommend
    )
)]
struct Document;

/// The document as JSON.
pub(super) fn json() -> Bytes {
    // Maps with string keys always serialize.
    Document::openapi().to_json().unwrap_or_default().into()
}
