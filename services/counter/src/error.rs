//! Every error of the REST side.

use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use vitalmesh_chassis::Problem;

use crate::number::OutOfRange;

#[derive(Clone, Copy, Debug, thiserror::Error)]
pub(crate) enum Error {
    #[error("the path's last part is no int32; send {} to {}", i32::MIN, i32::MAX - 1)]
    NoNumber,
    #[error(transparent)]
    OutOfRange(#[from] OutOfRange),
    #[error("nothing is here; try /increase/1")]
    UnknownPath,
    #[error("this path does not have this method; see the allow header")]
    WrongMethod,
}

// === impl Error ===

impl IntoResponse for Error {
    fn into_response(self) -> Response {
        let status = match self {
            Self::NoNumber | Self::OutOfRange(_) => StatusCode::BAD_REQUEST,
            Self::UnknownPath => StatusCode::NOT_FOUND,
            Self::WrongMethod => StatusCode::METHOD_NOT_ALLOWED,
        };
        Problem::new(status, self.to_string()).into_response()
    }
}
