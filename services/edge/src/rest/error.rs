//! The errors of the REST routes, as problem documents.

use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use tonic::Status;
use vitalmesh_chassis::Problem;

use super::name::InvalidName;

#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    #[error(transparent)]
    Name(#[from] InvalidName),
    #[error("unknown path; try /proxy/Ana or /heartbeats")]
    UnknownPath,
    #[error("the path does not allow this method; see the allow header")]
    WrongMethod,
    #[error("{upstream}: {status}")]
    Upstream {
        upstream: &'static str,
        status: Box<Status>,
    },
}

// === impl Error ===

impl Error {
    pub(crate) fn upstream(upstream: &'static str, status: Status) -> Self {
        let status = Box::new(status);
        Self::Upstream { upstream, status }
    }
}

impl IntoResponse for Error {
    fn into_response(self) -> Response {
        let problem = match &self {
            Self::Name(_) => Problem::new(StatusCode::BAD_REQUEST, self.to_string()),
            Self::UnknownPath => Problem::new(StatusCode::NOT_FOUND, self.to_string()),
            Self::WrongMethod => Problem::new(StatusCode::METHOD_NOT_ALLOWED, self.to_string()),
            Self::Upstream { upstream, status } => Problem::upstream(upstream, status),
        };
        problem.into_response()
    }
}
