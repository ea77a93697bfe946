//! The OpenAPI document of the REST routes.

use bytes::Bytes;
use utoipa::{OpenApi, ToSchema};

use super::{books, recommend};

/// What went wrong, as in RFC 9457.
#[derive(ToSchema)]
#[expect(
    dead_code,
    reason = "utoipa reads it; the chassis writes the documents"
)]
pub(crate) struct Problem {
    r#type: String,
    title: String,
    /// The HTTP status.
    status: u16,
    /// What was wrong and what to do.
    detail: String,
    /// The status of the gRPC call behind the request, if that failed.
    grpc_code: Option<String>,
    /// The service that was called.
    upstream: Option<String>,
}

#[derive(OpenApi)]
#[openapi(
    info(
        title = "Bookstore",
        description = "Books, and recommendations of any number."
    ),
    paths(books::create, books::list, books::retrieve, recommend::recommend)
)]
struct Document;

/// The document as JSON, made once: it is the same for every request.
pub(super) fn json() -> Bytes {
    // Maps with text for keys are always JSON.
    Document::openapi().to_json().unwrap_or_default().into()
}
