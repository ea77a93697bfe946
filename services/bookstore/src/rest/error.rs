//! The errors of the REST routes, as problem documents.

use axum::extract::rejection::{JsonRejection, QueryRejection};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use tonic::Status;
use vitalmesh_chassis::{Problem, readable};

use super::book_body::InvalidBody;
use crate::recommendations::MAX_RECOMMENDATIONS;

#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    #[error("unknown path; see /openapi.json, or try the API at /")]
    UnknownPath,
    #[error("the path does not allow this method; see the allow header")]
    WrongMethod,
    #[error(
        "n is not a whole number from 1 to {MAX_RECOMMENDATIONS}; GET /100 streams 100 recommendations"
    )]
    Count,
    #[error("the book id is not a whole number from 1 to 2147483647")]
    BookId,
    #[error("{}", readable(&.0.body_text()))]
    Query(#[from] QueryRejection),
    #[error("{}", readable(&.0.body_text()))]
    Body(#[from] JsonRejection),
    #[error("{}", readable(&.0.to_string()))]
    InvalidBody(#[from] InvalidBody),
    #[error("the body did not arrive within {seconds} s; send it again")]
    SlowBody { seconds: u64 },
    #[error("the limit of {max} open streams is reached; try again later")]
    TooManyDownloads { max: usize },
    #[error("bookstore: {0}")]
    Upstream(#[source] Box<Status>),
}

// === impl Error ===

impl Error {
    fn status(&self) -> StatusCode {
        match self {
            Self::UnknownPath => StatusCode::NOT_FOUND,
            Self::WrongMethod => StatusCode::METHOD_NOT_ALLOWED,
            Self::Count | Self::BookId | Self::Query(_) => StatusCode::BAD_REQUEST,
            Self::Body(rejection) => rejection.status(),
            Self::InvalidBody(_) => StatusCode::UNPROCESSABLE_ENTITY,
            Self::SlowBody { .. } => StatusCode::REQUEST_TIMEOUT,
            Self::TooManyDownloads { .. } => StatusCode::TOO_MANY_REQUESTS,
            Self::Upstream(_) => StatusCode::BAD_GATEWAY,
        }
    }
}

impl From<Status> for Error {
    fn from(status: Status) -> Self {
        Self::Upstream(Box::new(status))
    }
}

impl IntoResponse for Error {
    fn into_response(self) -> Response {
        match &self {
            Self::Upstream(status) => Problem::upstream("bookstore", status),
            _ => Problem::new(self.status(), self.to_string()),
        }
        .into_response()
    }
}
