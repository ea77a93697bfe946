//! The REST route: `GET /increase/{n}`.

use axum::extract::Path;
use axum::extract::rejection::PathRejection;
use axum::routing::get;
use axum::{Json, Router};
use serde::Serialize;
use vitalmesh_chassis::{Method, Route};

use crate::error::Error;
use crate::number::increase;

/// The routes and their statuses.
pub(crate) const ROUTES: &[Route] = &[Route::new(Method::GET, "/increase/{n}", &[200, 400])];

#[derive(Debug, Serialize)]
struct NextNumber {
    num: i32,
}

pub fn router() -> Router {
    Router::new()
        .route("/increase/{n}", get(next))
        .fallback(|| async { Error::UnknownPath })
        .method_not_allowed_fallback(|| async { Error::WrongMethod })
}

async fn next(num: Result<Path<String>, PathRejection>) -> Result<Json<NextNumber>, Error> {
    let Path(num) = num.map_err(|_| Error::InvalidNumber)?;
    let num = num.parse().map_err(|_| Error::InvalidNumber)?;
    let num = increase(num)?;
    Ok(Json(NextNumber { num }))
}
