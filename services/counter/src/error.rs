//! The errors of the REST route, as problem documents.

use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use vitalmesh_chassis::Problem;

use crate::number::OutOfRange;

#[derive(Clone, Copy, Debug, thiserror::Error)]
pub(crate) enum Error {
    #[error("the last segment of the path is not an int32; send {} to {}", i32::MIN, i32::MAX - 1)]
    InvalidNumber,
    #[error(transparent)]
    OutOfRange(#[from] OutOfRange),
    #[error("unknown path; try /increase/1")]
    UnknownPath,
    #[error("the path does not allow this method; see the allow header")]
    WrongMethod,
}

// === impl Error ===

impl IntoResponse for Error {
    fn into_response(self) -> Response {
        let status = match self {
            Self::InvalidNumber | Self::OutOfRange(_) => StatusCode::BAD_REQUEST,
            Self::UnknownPath => StatusCode::NOT_FOUND,
            Self::WrongMethod => StatusCode::METHOD_NOT_ALLOWED,
        };
        Problem::new(status, self.to_string()).into_response()
    }
}
