//! The path, query and body of a request.

use std::time::Duration;

use axum::Json;
use axum::extract::{FromRequest, FromRequestParts, Path, Query, Request};
use axum::http::request::Parts;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use utoipa::IntoParams;

use super::error::Error;
use crate::recommendations::MAX_RECOMMENDATIONS;

/// How long a body may take to arrive.
const BODY_TIMEOUT: Duration = Duration::from_secs(5);

/// The `{n}` of a path: the number of recommendations.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Count(pub(crate) i32);

/// The `{book_id}` of a path.
#[derive(Clone, Copy, Debug)]
pub(crate) struct BookId(pub(crate) i32);

/// The query; an invalid one is rejected with a problem document.
#[derive(Clone, Copy, Debug)]
pub(crate) struct QueryParams<T>(pub(crate) T);

/// A JSON body; one that is late is rejected with 408.
#[derive(Clone, Debug)]
pub(crate) struct JsonBody<T>(pub(crate) T);

#[derive(Clone, Copy, Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(crate) struct Years {
    /// The first year, inclusive. Requires `end`.
    pub(crate) start: Option<i32>,
    /// The last year, inclusive. Requires `start`.
    pub(crate) end: Option<i32>,
}

#[derive(Clone, Copy, Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(crate) struct User {
    /// The user. The same user gets the same books.
    #[serde(default)]
    #[param(default = 0)]
    pub(crate) user_id: i32,
}

// === impl Count ===

impl<S: Send + Sync> FromRequestParts<S> for Count {
    type Rejection = Error;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Error> {
        let path = Path::from_request_parts(parts, state).await;
        match path {
            Ok(Path(count @ 1..=MAX_RECOMMENDATIONS)) => Ok(Self(count)),
            _ => Err(Error::Count),
        }
    }
}

// === impl BookId ===

impl<S: Send + Sync> FromRequestParts<S> for BookId {
    type Rejection = Error;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Error> {
        let path = Path::from_request_parts(parts, state).await;
        match path {
            Ok(Path(book_id @ 1..)) => Ok(Self(book_id)),
            _ => Err(Error::BookId),
        }
    }
}

// === impl QueryParams ===

impl<T: DeserializeOwned, S: Send + Sync> FromRequestParts<S> for QueryParams<T> {
    type Rejection = Error;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Error> {
        let Query(query) = Query::from_request_parts(parts, state).await?;
        Ok(Self(query))
    }
}

// === impl JsonBody ===

impl<T: DeserializeOwned, S: Send + Sync> FromRequest<S> for JsonBody<T> {
    type Rejection = Error;

    async fn from_request(request: Request, state: &S) -> Result<Self, Error> {
        let body = Json::from_request(request, state);
        let body = tokio::time::timeout(BODY_TIMEOUT, body).await;
        let seconds = BODY_TIMEOUT.as_secs();
        let Json(body) = body.map_err(|_| Error::SlowBody { seconds })??;
        Ok(Self(body))
    }
}
